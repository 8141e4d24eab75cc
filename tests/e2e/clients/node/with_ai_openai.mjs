// Vercel's `ai` with OpenAI's provider: the Responses API, which is its default, and the chat API.

import { createOpenAI } from "@ai-sdk/openai";
import { features } from "./ai_features.mjs";
import { URL, report } from "./report.mjs";

const openai = createOpenAI({ baseURL: `${URL}/v1`, apiKey: "none" });
const responses = features(openai);

await report({
  ...features(openai.chat),
  async Responses() {
    for (const name of ["chat", "stream", "tools", "JSON schema", "errors", "cancel"]) await responses[name]();
  },
});
