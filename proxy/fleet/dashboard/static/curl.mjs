/** curl is the command that reads url in a shell. Credentials are named, never
 * written out: headers are names, each taking its value from a variable. Pure. */
export function curl(url, headers = []) {
  const parts = ["curl", "-sS", ...headers.flatMap((name) => ["-H", `"${name}: $${variable(name)}"`]), quoted(url)];
  return parts.join(" ");
}

/** variable is the name of an environment variable for a header. */
export const variable = (header) => header.toUpperCase().replace(/[^A-Z0-9]/g, "_");

/** quoted is one word of a POSIX shell. */
export const quoted = (word) => `'${word.replaceAll("'", `'\\''`)}'`;
