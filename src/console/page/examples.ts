/** The scripts of the folder `examples`, as the build has read them. */
import averageByGroup from "../../../examples/average_by_group.py";
import bigKeys from "../../../examples/big_keys.py";
import rateLimiter from "../../../examples/rate_limiter.py";
import streamReport from "../../../examples/stream_report.py";
import wordCount from "../../../examples/word_count.py";

interface Example {
  readonly name: string;
  readonly code: string;
}

export const EXAMPLES: readonly Example[] = [
  { name: "Count all keys", code: "GB().count().run()\n" },
  { name: "Keys by their type", code: "GB().countby(lambda r: r['type']).run()\n" },
  { name: "word_count.py", code: wordCount },
  { name: "average_by_group.py", code: averageByGroup },
  { name: "big_keys.py", code: bigKeys },
  { name: "stream_report.py", code: streamReport },
  { name: "rate_limiter.py", code: rateLimiter },
];
