// Codex.

import { turn } from "./agent.mjs";

await turn("codex", "exec", "--skip-git-repo-check", "Say hi");
