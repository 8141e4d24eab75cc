// Claude Code.

import { turn } from "./agent.mjs";

await turn("claude", "-p", "Say hi");
