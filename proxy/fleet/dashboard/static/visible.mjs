// Whether anybody looks at the page.

const GRACE = 10_000; // ms for which a hidden page stays connected: a glance at another tab

/** page is what follow needs to know of this tab. */
export const page = {
  /** shown resolves as soon as the page is visible, or signal aborts. */
  shown(signal) {
    if (!document.hidden) return Promise.resolve();
    return new Promise((resolve) => {
      const look = () => {
        if (document.hidden && !signal.aborted) return;
        document.removeEventListener("visibilitychange", look);
        signal.removeEventListener("abort", look);
        resolve();
      };
      document.addEventListener("visibilitychange", look);
      signal.addEventListener("abort", look);
    });
  },

  /** onHidden calls f once the page was hidden for a while. The result ends it. */
  onHidden(f) {
    let timer;
    const look = () => {
      clearTimeout(timer);
      if (document.hidden) timer = setTimeout(f, GRACE);
    };
    document.addEventListener("visibilitychange", look);
    look();
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    };
  },
};
