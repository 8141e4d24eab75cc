// What the programs of this folder share: whom they ask, what, and how they say what came of it.
//
// Each program is a client. Its features are functions that throw what the client throws. One line of JSON for each
// says how it went: {"feature": "chat", "error": null}.

import assert from "node:assert/strict";

export const URL = process.env.BERTH_URL;
export const MODEL = process.env.BERTH_MODEL;
export const QUESTION = "What is the capital of France?";
export const WEATHER = "weather in Paris?";
export const LONG = "Count from 1 to 1000, one number a line.";
export const TOO_LONG = "word ".repeat(40_000);
export const SCHEMA = {
  type: "object",
  properties: { capital: { type: "string", enum: ["Paris", "Rome"] } },
  required: ["capital"],
  additionalProperties: false,
};
export const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

const PATIENCE_SECONDS = 10;

/** Runs the features that the arguments name, or else all, and says of each what came of it. */
export async function report(features) {
  const named = process.argv.slice(2);
  for (const name of named.length ? named : Object.keys(features)) {
    let error = null;
    try {
      await features[name]();
    } catch (thrown) {
      const place = /with_[\w.]+:\d+/.exec(thrown?.stack ?? "")?.[0];
      error = `${thrown?.name}: ${String(thrown?.message ?? thrown).slice(0, 1500)} (at ${place})`;
    }
    console.log(JSON.stringify({ feature: name, error }));
  }
  process.exit(0);
}

/** The next request finds no engine. */
export async function unload() {
  await fetch(`${URL}/v1/models/unload`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: MODEL }),
  });
}

/** Waits until the router has no request in hand. */
export async function nothingInHand() {
  const end = Date.now() + PATIENCE_SECONDS * 1000;
  for (;;) {
    const metrics = await (await fetch(`${URL}/metrics`)).text();
    if (/^berth_router_requests_in_flight 0/m.test(metrics)) return;
    assert(Date.now() < end, "the client has left, and its request is still in hand");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Whether a tool got what it needs. */
export function isCity(given) {
  const { city } = typeof given === "string" ? JSON.parse(given) : given;
  assert(typeof city === "string" && city, JSON.stringify(given));
}

/** Whether it is what a model says to the question. */
export function isAnswer(text) {
  assert.match(String(text), /Paris/);
}

/** All that a stream gives. */
export async function all(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}
