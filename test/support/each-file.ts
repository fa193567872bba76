/** Runs beside each file of tests: what its helpers have left goes with it. Scripts use the same helpers without vitest. */
import { afterAll } from "vitest";
import { removeFolders } from "./folders.ts";

afterAll(removeFolders);
