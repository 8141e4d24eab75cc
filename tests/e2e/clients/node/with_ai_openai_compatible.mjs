// Vercel's `ai` with its provider for all that speak OpenAI's API.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { features } from "./ai_features.mjs";
import { URL, report } from "./report.mjs";

await report(features(createOpenAICompatible({ name: "berth", baseURL: `${URL}/v1`, includeUsage: true, supportsStructuredOutputs: true })));
