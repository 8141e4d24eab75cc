// Ollama's own client for Node.

import assert from "node:assert/strict";
import { Ollama } from "ollama";
import { CITY, LONG, MODEL, QUESTION, SCHEMA, URL, WEATHER, all, isAnswer, isCity, nothingInHand, report, unload } from "./report.mjs";

const client = new Ollama({ host: URL });
const ask = (content) => ({ model: MODEL, messages: [{ role: "user", content }], options: { temperature: 0, num_predict: 64 } });
const tools = [{ type: "function", function: { name: "weather", description: "weather", parameters: CITY } }];

async function stream() {
  const parts = await all(await client.chat({ ...ask(QUESTION), stream: true }));
  isAnswer(parts.map((part) => part.message.content).join(""));
  assert(parts.length > 3 && parts.at(-1).done);
}

await report({
  async chat() {
    isAnswer((await client.chat(ask(QUESTION))).message.content);
  },
  stream,
  async "cold stream"() {
    await unload();
    await stream();
  },
  async tools() {
    const answer = await client.chat({ ...ask(WEATHER), tools });
    isCity(answer.message.tool_calls[0].function.arguments);
  },
  async "JSON schema"() {
    assert(JSON.parse((await client.chat({ ...ask(QUESTION), format: SCHEMA })).message.content).capital);
  },
  async errors() {
    await assert.rejects(client.chat({ ...ask(QUESTION), model: "absent" }), (thrown) => thrown.status_code === 404);
  },
  async cancel() {
    const parts = await client.chat({ ...ask(LONG), options: { num_predict: 1500 }, stream: true });
    await parts[Symbol.asyncIterator]().next();
    parts.abort();
    await nothingInHand();
  },
});
