#!/usr/bin/env node
import { withstand } from "../dist/signals.js";
import { fitStack } from "../dist/stack.js";

withstand();
fitStack();
await import("../dist/cli.js");
