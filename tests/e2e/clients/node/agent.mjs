// One turn of a coding agent, started by `berth launch`.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MODEL, URL, report } from "./report.mjs";

const LONGEST_TURN = 400_000; // milliseconds

/** Starts the agent that `berth launch` knows by the name, with arguments that have it answer once and end. */
export const turn = (name, ...once) =>
  report({
    "one turn"() {
      const cwd = mkdtempSync(join(tmpdir(), "project-"));
      const launch = ["launch", name, "--url", URL, "--model", MODEL, "--", ...once];
      // opencode looks for newer models, and takes PWD for the project.
      const env = { ...process.env, PWD: cwd, OPENCODE_DISABLE_MODELS_FETCH: "1" };
      const options = { cwd, env, encoding: "utf8", input: "", timeout: LONGEST_TURN };
      const { status, stdout, stderr } = spawnSync(process.env.BERTH_COMMAND, launch, options);
      assert.equal(status, 0, stdout + stderr);
      assert.match(stdout, /\S/, stderr); // what a model of this size says matters little
    },
  });
