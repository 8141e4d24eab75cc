// opencode.

import { turn } from "./agent.mjs";

await turn("opencode", "run", "--print-logs", "Say hi");
