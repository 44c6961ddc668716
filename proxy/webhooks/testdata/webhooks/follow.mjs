// Follows a task to its end with the npm package eventsource, which can send a
// credential. Prints the statuses that it saw, once it has been told to stop.
import { EventSource } from "eventsource";

const [url, authorization] = process.argv.slice(2);
const statuses = [];
const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, Authorization: authorization } }),
});
source.onmessage = (event) => statuses.push(JSON.parse(event.data).status);
source.onerror = () => {
  if (source.readyState === EventSource.CLOSED) {
    console.log(JSON.stringify(statuses));
  }
};
