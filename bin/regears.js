#!/usr/bin/env node
import { fitStack } from "../dist/stack.js";

fitStack();
await import("../dist/cli.js");
