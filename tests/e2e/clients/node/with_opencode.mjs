// opencode.

import { turn } from "./agent.mjs";

await turn("opencode", "run", "Say hi");
