// Vercel's `ai`, which asks every provider in the same way.

import assert from "node:assert/strict";
import { APICallError, Output, generateText, jsonSchema, streamText, tool } from "ai";
import { CITY, LONG, MODEL, QUESTION, SCHEMA, TOO_LONG, WEATHER, all, isAnswer, isCity, nothingInHand, unload } from "./report.mjs";

const weather = tool({ description: "The weather.", inputSchema: jsonSchema(CITY) });
const time = tool({ description: "The time.", inputSchema: jsonSchema(CITY) });

/** The features of a provider: a function from a model's name to a model of `ai`. */
export function features(provider) {
  const ask = (prompt, options = {}) => ({ model: provider(MODEL), prompt, temperature: 0, maxOutputTokens: 64, maxRetries: 0, ...options });

  async function stream() {
    const errors = [];
    const answer = streamText(ask(QUESTION, { onError: ({ error }) => errors.push(error) }));
    const parts = await all(answer.textStream);
    if (errors.length) throw errors[0];
    isAnswer(parts.join(""));
    assert(parts.length > 3);
    assert((await answer.usage).outputTokens > 0);
  }

  return {
    async chat() {
      const answer = await generateText(ask(QUESTION));
      isAnswer(answer.text);
      assert(answer.usage.outputTokens > 0);
    },
    stream,
    async "cold stream"() {
      await unload();
      await stream();
    },
    async tools() {
      const named = { type: "tool", toolName: "time" };
      for (const toolChoice of [named, "required", "auto"]) {
        const answer = await generateText(ask(WEATHER, { tools: { weather, time }, toolChoice }));
        const [call] = answer.toolCalls;
        assert(call, JSON.stringify(toolChoice));
        if (toolChoice === named) assert.equal(call.toolName, "time");
        isCity(call.input);
      }
      const errors = [];
      const streamed = streamText(ask(WEATHER, { tools: { weather }, toolChoice: "required", onError: ({ error }) => errors.push(error) }));
      await streamed.consumeStream();
      if (errors.length) throw errors[0];
      isCity((await streamed.toolCalls)[0].input);
    },
    async "JSON schema"() {
      const answer = await generateText(ask(WEATHER, { output: Output.object({ schema: jsonSchema(SCHEMA) }) }));
      assert(answer.output.capital);
    },
    async errors() {
      const refused = (status) => (thrown) => APICallError.isInstance(thrown) && thrown.statusCode === status && !thrown.isRetryable;
      await assert.rejects(generateText(ask(QUESTION, { model: provider("absent") })), refused(404));
      await assert.rejects(generateText(ask(TOO_LONG)), refused(400));
    },
    async cancel() {
      const leaving = new AbortController();
      const { textStream } = streamText(ask(LONG, { maxOutputTokens: 1500, abortSignal: leaving.signal, onError() {} }));
      for await (const _ of textStream) leaving.abort();
      await nothingInHand();
    },
  };
}
