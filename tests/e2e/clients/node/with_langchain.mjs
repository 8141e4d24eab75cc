// LangChain's ChatOpenAI for Node.

import assert from "node:assert/strict";
import { ChatOpenAI } from "@langchain/openai";
import { tool } from "@langchain/core/tools";
import { z } from "zod";
import { LONG, MODEL, QUESTION, TOO_LONG, URL, WEATHER, all, isAnswer, isCity, nothingInHand, report, unload } from "./report.mjs";

const model = (options = {}) =>
  new ChatOpenAI({ model: MODEL, temperature: 0, maxTokens: 128, maxRetries: 0, apiKey: "none", configuration: { baseURL: `${URL}/v1` }, ...options });
const Capital = z.object({ capital: z.enum(["Paris", "Rome"]) });
const weather = tool(({ city }) => `sunny in ${city}`, { name: "weather", description: "The weather.", schema: z.object({ city: z.string() }) });

async function stream(options = {}) {
  const parts = await all(await model(options).stream(QUESTION));
  isAnswer(parts.map((part) => part.text).join(""));
  assert(parts.length > 3);
}

await report({
  async chat() {
    isAnswer((await model().invoke(QUESTION)).text);
  },
  stream: () => stream(),
  async "cold stream"() {
    await unload();
    await stream();
  },
  async tools() {
    for (const tool_choice of ["weather", "any", "auto"]) {
      const answer = await model().bindTools([weather], { tool_choice }).invoke(WEATHER);
      isCity(answer.tool_calls[0].args);
    }
  },
  async "JSON schema"() {
    for (const method of ["jsonSchema", "functionCalling"]) {
      const answer = await model().withStructuredOutput(Capital, { name: "capital", method }).invoke(QUESTION);
      assert(answer.capital, method);
    }
  },
  async Responses() {
    isAnswer((await model({ useResponsesApi: true }).invoke(QUESTION)).text);
    await stream({ useResponsesApi: true });
    const bound = model({ useResponsesApi: true }).withStructuredOutput(Capital, { name: "capital", method: "jsonSchema" });
    assert((await bound.invoke(QUESTION)).capital);
  },
  async errors() {
    await assert.rejects(model({ model: "absent" }).invoke(QUESTION), (thrown) => thrown.status === 404);
    await assert.rejects(model().invoke(TOO_LONG), (thrown) => thrown.name === "ContextOverflowError" || thrown.code === "context_length_exceeded");
  },
  async cancel() {
    for await (const _ of await model({ maxTokens: 1500 }).stream(LONG)) break;
    await nothingInHand();
  },
});
