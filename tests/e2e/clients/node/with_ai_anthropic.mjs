// Vercel's `ai` with Anthropic's provider.

import { createAnthropic } from "@ai-sdk/anthropic";
import { features } from "./ai_features.mjs";
import { URL, report } from "./report.mjs";

await report(features(createAnthropic({ baseURL: `${URL}/v1`, apiKey: "none" })));
