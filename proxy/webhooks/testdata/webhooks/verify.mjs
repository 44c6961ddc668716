// Verifies deliveries as a receiver would, with the library that Standard
// Webhooks publishes. Reads one JSON object per line: {secret, headers, body};
// answers each with "ok" or with what the library says.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    new Webhook(secret).verify(body, headers);
    console.log("ok");
  } catch (error) {
    console.log(error.message);
  }
}
