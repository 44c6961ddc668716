/** onKey calls actions[key] for a key pressed alone, outside of fields and open
 * dialogs. Escape is told from fields too. */
export function onKey(actions) {
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing || document.querySelector("dialog[open]")) return;
    const typing = e.target.closest("input, textarea, select, [contenteditable]");
    if (typing && e.key !== "Escape") return;
    // A button or a link does what it does.
    if (e.key === "Enter" && e.target.closest("a, button, summary")) return;
    const action = actions[e.key];
    if (action && action(e) !== false) e.preventDefault();
  });
}
