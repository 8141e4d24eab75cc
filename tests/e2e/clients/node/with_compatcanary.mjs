// CompatCanary, which checks OpenAI's API: its score, and what it finds wrong.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { MODEL, URL, report } from "./report.mjs";

const LOWEST = 97;

await report({
  score() {
    const scan = ["scan", "--base-url", `${URL}/v1`, "--model", MODEL, "--format", "json", "--timeout", "120", "--fail-on", "never"];
    const { stdout, stderr } = spawnSync("compatcanary", scan, { encoding: "utf8" });
    assert(stdout, stderr);
    const { score, results } = JSON.parse(stdout);
    const found = results.filter(({ status }) => status !== "pass").map(({ id, summary }) => `${id}: ${summary}`);
    assert(score >= LOWEST, `${score}: ${found.join("; ")}`);
  },
});
