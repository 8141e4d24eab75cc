// OpenAI's own client for Node.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { CITY, LONG, MODEL, QUESTION, TOO_LONG, URL, WEATHER, all, isAnswer, isCity, nothingInHand, report, unload } from "./report.mjs";

const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: "none", maxRetries: 0 });
const Capital = z.object({ capital: z.enum(["Paris", "Rome"]) });
const ask = (content) => ({ model: MODEL, temperature: 0, max_tokens: 64, messages: [{ role: "user", content }] });
const respond = (input) => ({ model: MODEL, temperature: 0, max_output_tokens: 64, input });
const tools = ["weather", "time"].map((name) => ({ type: "function", function: { name, parameters: CITY } }));

async function stream() {
  const parts = await all(await client.chat.completions.create({ ...ask(QUESTION), stream: true }));
  assert.equal(parts[0].choices[0].delta.role, "assistant");
  isAnswer(parts.map((part) => part.choices[0]?.delta.content ?? "").join(""));
  assert(parts.length > 3);
  isAnswer(await client.chat.completions.stream(ask(QUESTION)).finalContent());
}

await report({
  async chat() {
    const answer = await client.chat.completions.create(ask(QUESTION));
    isAnswer(answer.choices[0].message.content);
    assert(answer.usage.completion_tokens > 0);
  },
  stream,
  async "cold stream"() {
    await unload();
    await stream();
  },
  async tools() {
    const named = { type: "function", function: { name: "time" } };
    for (const tool_choice of [named, "required", "auto"]) {
      const answer = await client.chat.completions.create({ ...ask(WEATHER), tools, tool_choice });
      const [call] = answer.choices[0].message.tool_calls;
      if (tool_choice === named) assert.equal(call.function.name, "time");
      isCity(call.function.arguments);
    }
    const streamed = client.chat.completions.stream({ ...ask(WEATHER), tools, tool_choice: "required" });
    isCity((await streamed.finalMessage()).tool_calls[0].function.arguments);
  },
  async "JSON schema"() {
    const response_format = zodResponseFormat(Capital, "capital");
    const answer = await client.chat.completions.parse({ ...ask(QUESTION), response_format });
    assert(answer.choices[0].message.parsed.capital);
  },
  async Responses() {
    isAnswer((await client.responses.create(respond(QUESTION))).output_text);
    const streamed = client.responses.stream(respond(QUESTION));
    const kinds = (await all(streamed)).map((event) => event.type);
    assert.equal(kinds[0], "response.created");
    assert.equal(kinds.at(-1), "response.completed");
    isAnswer((await streamed.finalResponse()).output_text);
    const parsed = await client.responses.parse({ ...respond(QUESTION), text: { format: zodTextFormat(Capital, "capital") } });
    assert(parsed.output_parsed.capital);
  },
  async errors() {
    const absent = client.chat.completions.create({ ...ask(QUESTION), model: "absent" });
    await assert.rejects(absent, (thrown) => thrown instanceof OpenAI.NotFoundError && thrown.code === "model_not_found");
    const long = client.chat.completions.create(ask(TOO_LONG));
    await assert.rejects(long, (thrown) => thrown instanceof OpenAI.BadRequestError && thrown.code === "context_length_exceeded");
  },
  async cancel() {
    for await (const _ of await client.chat.completions.create({ ...ask(LONG), max_tokens: 1500, stream: true })) break;
    await nothingInHand();
  },
});
