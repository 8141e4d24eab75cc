// Anthropic's own client for Node.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { CITY, LONG, MODEL, QUESTION, SCHEMA, TOO_LONG, URL, WEATHER, isAnswer, isCity, nothingInHand, report, unload } from "./report.mjs";

const client = new Anthropic({ baseURL: URL, apiKey: "none", maxRetries: 0 });
const ask = (content) => ({ model: MODEL, temperature: 0, max_tokens: 64, messages: [{ role: "user", content }] });
const tools = ["weather", "time"].map((name) => ({ name, description: name, input_schema: CITY }));

async function stream() {
  isAnswer(await client.messages.stream(ask(QUESTION)).finalText());
}

await report({
  async chat() {
    const answer = await client.messages.create(ask(QUESTION));
    isAnswer(answer.content[0].text);
    assert(answer.usage.output_tokens > 0);
  },
  stream,
  async "cold stream"() {
    await unload();
    await stream();
  },
  async tools() {
    const named = { type: "tool", name: "time" };
    for (const tool_choice of [named, { type: "any" }, { type: "auto" }]) {
      const answer = await client.messages.create({ ...ask(WEATHER), tools, tool_choice });
      assert.equal(answer.stop_reason, "tool_use");
      const use = answer.content.find((block) => block.type === "tool_use");
      if (tool_choice === named) assert.equal(use.name, "time");
      isCity(use.input);
    }
    const last = await client.messages.stream({ ...ask(WEATHER), tools, tool_choice: { type: "any" } }).finalMessage();
    isCity(last.content.find((block) => block.type === "tool_use").input);
  },
  async "JSON schema"() {
    const output_config = { format: { type: "json_schema", schema: SCHEMA } };
    const answer = await client.messages.create({ ...ask(WEATHER), output_config });
    assert(JSON.parse(answer.content[0].text).capital);
  },
  async errors() {
    const absent = client.messages.create({ ...ask(QUESTION), model: "absent" });
    await assert.rejects(absent, (thrown) => thrown instanceof Anthropic.NotFoundError);
    const long = client.messages.create(ask(TOO_LONG));
    await assert.rejects(long, (thrown) => thrown instanceof Anthropic.BadRequestError && /prompt is too long/.test(thrown.message));
  },
  async cancel() {
    for await (const _ of await client.messages.create({ ...ask(LONG), max_tokens: 1500, stream: true })) break;
    await nothingInHand();
  },
});
