import { config, z } from "zod";

// Else zod writes and compiles a function for each schema at its first use: dear at a start of the agent, where most are used once.
config({ jitless: true });

export { z };
