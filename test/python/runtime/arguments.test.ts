/** What the functions and methods of the API say to wrong, missing and named arguments: docs/spec/python.md, sections 3, 4, 8, 9, 11. */
import { beforeAll, describe, expect, test } from "vitest";
import { PythonUnderTest } from "./harness.ts";

let python: PythonUnderTest;
beforeAll(async () => {
  python = await PythonUnderTest.start();
});

const ask = (script: string): unknown => python.json(`main.ask("RG.PYEXECUTE", inputs["script"])`, { script });

/** The exception that a script ends with, as the last line of its traceback shows it. */
function errorOf(script: string): string {
  const reply = String(ask(script));
  const last = /\[.*?(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\]$/s.exec(reply);
  return (last?.[1] ?? last?.[2] ?? reply).replace(/\\n$/, "");
}

const PLAIN_STEPS = ["map", "filter", "foreach", "flatmap", "accumulate", "repartition"];
const NO_FUNCTIONS = ["None", "1", "'f'", "str", "print", "[].append", "partial(f, 1)", "execute", "log"];

describe.each(["GB()", "gearsCtx('KeysReader')"])("steps of %s", (builder) => {
  const says = (call: string): string => errorOf(`def f(*a): return a\n${builder}.${call}`);

  test.each(PLAIN_STEPS)("%s takes one function", (step) => {
    for (const call of [`${step}()`, `${step}(f, f)`]) {
      expect(says(call)).toBe(`gears.error: wrong number of args to ${step} function`);
    }
    for (const other of NO_FUNCTIONS) {
      expect(says(`${step}(${other})`)).toBe(`gears.error: ${step} argument must be a function`);
    }
    expect(says(`${step}(f=f)`)).toMatch(/^TypeError: .*keyword argument/);
  });

  test.each([
    ["groupby", "groupby"],
    ["localgroupby", "groupby"],
    ["batchgroupby", "batchgroupby"],
  ])("%s takes two functions", (step, name) => {
    for (const call of [`${step}()`, `${step}(f)`, `${step}(f, f, f)`]) {
      expect(says(call)).toBe(`gears.error: wrong number of args to ${name} function`);
    }
    for (const other of NO_FUNCTIONS) {
      expect(says(`${step}(${other}, ${other})`)).toBe(`gears.error: ${name} extractor argument must be a function`);
      const late = step === "batchgroupby";
      expect(says(`${step}(f, ${other})`)).toBe(
        late ? "OK" : `gears.error: ${name} reducer argument must be a function`,
      );
    }
    expect(says(`${step}(extractor=f, reducer=f)`)).toMatch(/^TypeError: .*keyword argument/);
  });

  test.each([
    ["limit()", "wrong number of args to limit function"],
    ["limit(1, 2, 3)", "wrong number of args to limit function"],
    ["limit('1')", "limit argument must be a number"],
    ["limit(1.0)", "limit argument must be a number"],
    ["limit(1, None)", "limit argument must be a number"],
    ["collect(1)", "wrong number of args to collect function"],
  ])("%s", (call, text) => {
    expect(says(call)).toBe(`gears.error: ${text}`);
  });

  test("limit and collect take no keywords, and a boolean is a number", () => {
    expect(says("limit(length=1)")).toMatch(/^TypeError: .*keyword argument/);
    expect(says("collect(x=1)")).toMatch(/^TypeError: .*keyword argument/);
    expect(says("limit(True, False)")).toBe("OK");
  });

  test("every step gives the builder back", () => {
    const steps = [
      ...PLAIN_STEPS.map((step) => `${step}(f)`),
      ...["groupby", "localgroupby", "batchgroupby"].map((step) => `${step}(f, f)`),
      ...["limit(1)", "collect()"],
    ];
    const script = `
def f(*a): return a
b = ${builder}
lost = [step for step in ${JSON.stringify(steps)} if eval('b.' + step) is not b]
GB('ShardsIDReader').map(lambda x: lost).run()`;
    expect(ask(script)).toEqual([["[]"], []]);
  });
});

test("a flow of gearsCtx runs and is registered, whatever else it is given", () => {
  const flow = "gearsCtx('PythonReader', None, 'more').map(lambda x: x + 1).filter(lambda x: True).run(source)";
  expect(ask(`def source():\n    yield 1\n${flow}`)).toEqual([[2], []]);
  const script = "gearsCtx('CommandReader').map(lambda x: x[1]).register('ignored', trigger='low')";
  const called = `[main.ask("RG.PYEXECUTE", inputs["script"]), main.ask("RG.TRIGGER", "low", "v")]`;
  expect(python.json(called, { script })).toEqual(["OK", ["v"]]);
});

describe("builders", () => {
  test.each([
    ["GB(1)", "reader argument must be a string"],
    ["GB(None)", "reader argument must be a string"],
    ["GB(b'KeysReader')", "reader argument must be a string"],
    ["GB('keysreader')", "The given reader does not exists"],
    ["GB('')", "The given reader does not exists"],
    ["GB(desc=1)", "desc argument must be a string"],
    ["GB('NoReader', desc=1)", "desc argument must be a string"],
    ["gearsCtx(1)", "reader argument must be a string"],
    ["gearsCtx('KeysReader', 1)", "desc argument must be a string"],
    ["gearsCtx('NoReader')", "The given reader does not exists"],
  ])("%s", (call, text) => {
    expect(errorOf(call)).toBe(`gears.error: ${text}`);
  });

  test.each(["GB(name='x')", "GB('KeysReader', '*', None, 1)", "gearsCtx(reader='KeysReader')"])("%s", (call) => {
    expect(errorOf(call)).toMatch(/^TypeError: /);
  });

  test("their attributes", () => {
    const script = `
b, k, s = GB(), GB(reader='KeysOnlyReader', defaultArg='a', desc='d'), GearsBuilder('ShardsIDReader')
facts = [[x.realReader, x.reader, x.defaultArg, type(x.gearsCtx) is PyFlatExecution] for x in (b, k, s)]
GB('ShardsIDReader').map(lambda x: facts).run()`;
    expect(ask(script)).toEqual([
      [
        "[['KeysReader', 'KeysReader', '*', True], ['KeysOnlyReader', 'PythonReader', 'a', True], ['ShardsIDReader', 'PythonReader', '*', True]]",
      ],
      [],
    ]);
  });
});

describe("run()", () => {
  test.each([
    ["GB('PythonReader').run()", "pyreader argument must be a function"],
    ["GB('PythonReader').run(execute)", "pyreader argument must be a function"],
    ["gearsCtx('PythonReader').run()", "python reader function is not given"],
    ["gearsCtx('PythonReader').run(1)", "pyreader argument must be a function"],
    ["gearsCtx('PythonReader').run(lambda: 1, 2)", "python reader function is not given"],
    ["GB().run(1)", "regex argument must be a string"],
    ["GB(defaultArg=None).run()", "regex argument must be a string"],
    ["GB('StreamReader').run(b's')", "regex argument must be a string"],
    ["GB('CommandReader').run(1)", "regex argument must be a string"],
    ["GB('CommandReader').run()", "Given reader do not support run or not exists"],
    ["GB('CommandReader').run(mode='x')", "Given reader do not support run or not exists"],
    ["GB().run(noScan=1)", "exactMatch value is not boolean"],
    ["GB().run(noScan=None, readValue=None)", "exactMatch value is not boolean"],
    ["GB().run(readValue='yes')", "readValue value is not boolean"],
    ["GB('StreamReader').run('s', fromId=1)", "fromId argument must be a string"],
    ["GB().run(mode='sync')", "unknown execution mode"],
    ["GB().run(mode=None)", "execution mode must be a string"],
    ["GB().run(mode='x', noScan=1)", "unknown execution mode"],
    ["GB('PythonReader').run(lambda: 1, mode=1)", "execution mode must be a string"],
    ["GB('ShardsIDReader').run()\nGB().run(1)", "Can not run more then 1 executions in a single script"],
  ])("%s", (call, text) => {
    expect(errorOf(call)).toBe(`gears.error: ${text}`);
  });

  test.each([
    ["arg", "GB('PythonReader').run(arg=source, convertToStr=False, collect=False, mode='async_local', other=1)"],
    ["a pattern that is ignored beside more", "gearsCtx('PythonReader').run(source)"],
  ])("takes keywords: %s", (_name, call) => {
    expect(ask(`def source():\n    yield 1\n${call}`)).toEqual([[1], []]);
  });
});

describe("register()", () => {
  const BAD: [string, string, string][] = [
    ["CommandReader", "trigger=None", "trigger argument is not string"],
    ["CommandReader", "trigger=1", "trigger argument is not string"],
    ["CommandReader", "trigger=b't'", "trigger argument is not string"],
    ["CommandReader", "trigger='t', inorder=None", "inorder argument is be boolean"],
    ["CommandReader", "trigger='t', inorder=1", "inorder argument is be boolean"],
    ["CommandReader", "trigger='t', keyprefix=None", "keyprefix argument is not string"],
    ["CommandReader", "trigger='t', hook=None", "hook argument is not string"],
    ["CommandReader", "hook=None", "hook argument is not string"],
    ["CommandReader", "hook=['get']", "hook argument is not string"],
    ["CommandReader", "hook='get', keyprefix=1", "keyprefix argument is not string"],
    ["CommandReader", "trigger=1, inorder=1, keyprefix=1, hook=1", "trigger argument is not string"],
    ["CommandReader", "inorder=1, keyprefix=1, hook=1", "inorder argument is be boolean"],
    ["CommandReader", "keyprefix=1, hook=1", "keyprefix argument is not string"],
    ["CommandReader", "", "no trigger or hook argument was given"],
    ["CommandReader", "keyprefix='k'", "no trigger or hook argument was given"],
    ["CommandReader", "trigger='t', hook='get'", "trigger argument can not be given with keyprefix or hook"],
    ["CommandReader", "trigger='t', keyprefix='k'", "trigger argument can not be given with keyprefix or hook"],
    ["CommandReader", "trigger=1, mode='x'", "unknown execution mode"],
    ["CommandReader", "trigger=1, mode=b'sync'", "execution mode must be a string"],
    ["CommandReader", "trigger=1, onRegistered=1", "OnRegistered argument must be a function"],
    ["CommandReader", "trigger=1, onRegistered=1, mode=1", "execution mode must be a string"],
    ["CommandReader", "trigger='t', onRegistered=log", "OnRegistered argument must be a function"],
    ["CommandReader", "trigger='t', onRegistered=print", "OnRegistered argument must be a function"],
    ["KeysReader", "1", "regex argument must be a string"],
    ["KeysReader", "None", "regex argument must be a string"],
    ["KeysReader", "regex=1", "regex argument must be a string"],
    ["KeysReader", "eventTypes=1", "given eventTypes is not iterable"],
    ["KeysReader", "eventTypes=[1]", "given event type is not string"],
    ["KeysReader", "eventTypes=['set', None]", "given event type is not string"],
    ["KeysReader", "keyTypes=1", "given keyTypes is not iterable"],
    ["KeysReader", "keyTypes=[b'string']", "given key type is not string"],
    ["KeysReader", "keyTypes=['String']", "unknown key type"],
    ["KeysReader", "keyTypes=['nothing', 1]", "unknown key type"],
    ["KeysReader", "keyTypes=[1, 'nothing']", "given key type is not string"],
    ["KeysReader", "readValue=None", "readValue is not boolean"],
    ["KeysReader", "readValue=1", "readValue is not boolean"],
    ["KeysReader", "commands=1", "given commands is not iterable"],
    ["KeysReader", "commands=[1]", "given command type is not string"],
    ["KeysReader", "prefix=1, eventTypes=1", "regex argument must be a string"],
    ["KeysReader", "eventTypes=1, keyTypes=1, readValue=1, commands=1", "given eventTypes is not iterable"],
    ["KeysReader", "keyTypes=1, readValue=1, commands=1", "given keyTypes is not iterable"],
    ["KeysReader", "readValue=1, commands=1", "readValue is not boolean"],
    ["StreamReader", "prefix=1, batch='x'", "regex argument must be a string"],
    ["StreamReader", "batch='x', duration='x'", "batch argument must be a number"],
    ["StreamReader", "batch=None", "batch argument must be a number"],
    ["StreamReader", "duration='x', onFailedPolicy=1", "duration argument must be a number"],
    [
      "StreamReader",
      "onFailedPolicy=1, onFailedRetryInterval='x'",
      "onFailedPolicy must be a string (Continue/Abort/Retry)",
    ],
    ["StreamReader", "onFailedPolicy=None", "onFailedPolicy must be a string (Continue/Abort/Retry)"],
    ["StreamReader", "onFailedPolicy=''", "onFailedPolicy must be Continue/Abort/Retry"],
    ["StreamReader", "onFailedRetryInterval='x', trimStream=1", "retryInterval argument must be a number"],
    ["StreamReader", "trimStream=1", "pyTrimmStream argument must be a boolean"],
    ["StreamReader", "trimStream=None", "pyTrimmStream argument must be a boolean"],
    [
      "StreamReader",
      "mode='sync', onFailedPolicy='RETRY', onFailedRetryInterval='x'",
      "ExecutionMode sync can only be combined with OnFailedPolicy Continue",
    ],
    ["PythonReader", "", "given reader does not exists or does not support register"],
    ["ShardsIDReader", "", "given reader does not exists or does not support register"],
    ["KeysOnlyReader", "", "given reader does not exists or does not support register"],
    ["PythonReader", "mode='x'", "unknown execution mode"],
    ["PythonReader", "1", "regex argument must be a string"],
  ];
  test.each(BAD)("%s: %s", (reader, args, text) => {
    expect(errorOf(`GB('${reader}').register(${args})`)).toBe(`gears.error: ${text}`);
  });

  test("what goes wrong while a list is read is the list's own error", () => {
    const script = `
def types():
    yield 'set'
    raise TypeError('of mine')
GB().register(eventTypes=types())`;
    expect(errorOf(script)).toBe("TypeError: of mine");
    // an endless one is not read to its end
    expect(errorOf("GB().register(eventTypes=itertools.repeat(1))")).toBe(
      "gears.error: given event type is not string",
    );
  });

  test("None stands for nothing where RedisGears says so, and unknown keywords are ignored", () => {
    const script =
      "GB().register('*', True, True, eventTypes=None, keyTypes=None, commands=None, onRegistered=None, x=1)";
    expect(ask(script)).toBe("OK");
    expect(errorOf("GB().register(prefix='a', onUnregistered=1, trigger=1)")).toBe("OK");
  });
});

describe("runtime functions", () => {
  test.each([
    ["log()", "gears.error: log function must get a log message as input"],
    ["log(message='x')", "gears.error: log function must get a log message as input"],
    ["log(level='notice')", "gears.error: log function must get a log message as input"],
    ["log('a', 'b', 'c')", "gears.error: log function must get a log message as input"],
    ["log(1)", "gears.error: Log message must be a string"],
    ["log(1, level=1)", "gears.error: Log message must be a string"],
    ["log('notice', 1)", "gears.error: Log message must be a string"],
    ["log(None)", "gears.error: Log message must be a string"],
    ["log('x', level=None)", "gears.error: Log level must be a sting (debug/verbose/notice/warning)"],
    ["log(1, 'x')", "gears.error: Log level must be a sting (debug/verbose/notice/warning)"],
    ["log('x', level='error')", "gears.error: Log level should be one of the following : debug,verbose,notice,warning"],
    ["log('error', 'x')", "gears.error: Log level should be one of the following : debug,verbose,notice,warning"],
    ["log('x', foo=1)", "OK"],
    ["Log()", "gears.error: log function must get a log message as input"],
    ["configGet()", "gears.error: get_config function must get a single key input"],
    ["configGet('a', 'b')", "gears.error: get_config function must get a single key input"],
    ["configGet(1)", "gears.error: get_config key must be a string"],
    ["configGet(key='a')", "TypeError: config_get() got an unexpected keyword argument"],
    ["gearsConfigGet(1)", "gears.error: get_config key must be a string"],
    ["gearsConfigGet(key='a', default=1)", "OK"],
    ["execute(1)", "gears.error: the given command must be a string"],
    ["execute(None, 'a')", "gears.error: the given command must be a string"],
    ["execute(b'PING')", "gears.error: the given command must be a string"],
    ["execute('PING', x=1)", "TypeError: executeCommand() got an unexpected keyword argument"],
    ["call_next()", "gears.error: Can not get CommandHook ctx"],
    ["call_next(x=1)", "TypeError: callNext() got an unexpected keyword argument"],
    ["get_command()", "gears.error: Can not get command ctx"],
    ["get_command(1)", "gears.error: Can not get command ctx"],
    ["get_command(x=1)", "TypeError: getCommand() got an unexpected keyword argument"],
    ["override_reply()", "gears.error: Can not get command ctx"],
    ["override_reply(1, 2)", "gears.error: Can not get command ctx"],
    ["override_reply(1)", "gears.error: Can not get command ctx"],
    ["override_reply(value=1)", "TypeError: overrideReply() got an unexpected keyword argument"],
    ["flat_error()", "gears.error: not enough arguments for time flat error"],
    ["flat_error(1, 2)", "gears.error: not enough arguments for time flat error"],
    ["flat_error(message='x')", "TypeError: flatError() got an unexpected keyword argument"],
    ["flat_error('x')", "x"],
    ["flat_error(5)", "5"],
    ["registerTE()", "gears.error: not enough arguments for time event"],
    ["registerTE(1)", "gears.error: not enough arguments for time event"],
    ["registerTE(1, print, 'k', 1)", "gears.error: not enough arguments for time event"],
    ["registerTE('1', print)", "gears.error: callback must be a function"],
    ["registerTE(1, execute)", "gears.error: callback must be a function"],
    ["registerTE('1', lambda: 1)", "gears.error: time argument must be a long"],
    ["registerTE(1.5, lambda: 1)", "gears.error: time argument must be a long"],
    ["registerTE(seconds=1, callback=print)", "TypeError: registerTimeEvent() got an unexpected keyword argument"],
    ["gearsFuture()", "gears.error: Future object can only be created inside certain execution steps"],
    ["gearsFuture(1)", "gears.error: Future gets no arguments"],
    ["gearsFuture(x=1)", "TypeError: gearsFutureCtx() got an unexpected keyword argument"],
    ["setGearsSession()", "gears.error: Wrong number of args given to setGearsSession"],
    ["setGearsSession(None, None)", "gears.error: Wrong number of args given to setGearsSession"],
    ["setGearsSession('x')", "gears.error: Given object is not of type GearsSession"],
    ["setGearsSession(s=None)", "TypeError: setGearsSession() got an unexpected keyword argument"],
    ["GearsSession(s=getGearsSession()).__enter__()", "OK"],
    ["atomic().__exit__()", "gears.error: Not inside an atomic block"],
    ["atomic(x=1)", "TypeError: atomicCtx() got an unexpected keyword argument"],
    ["with atomic():\n  with atomic(): pass", "gears.error: Already inside an atomic block"],
    ["isAsyncAllow(x=1)", "TypeError: isAsyncAllow() got an unexpected keyword argument"],
    ["isInAtomicBlock(x=1)", "TypeError: isInAtomicBlock() got an unexpected keyword argument"],
    ["getGearsSession(x=1)", "TypeError: getGearsSession() got an unexpected keyword argument"],
    ["hashtag(x=1)", "TypeError: getMyHashTag() got an unexpected keyword argument"],
    ["registerGearsThread(x=1)", "TypeError: registerGearsThread() got an unexpected keyword argument"],
  ])("%s", (call, text) => {
    // which of the keywords Python names is its business
    expect(errorOf(call).replace(/ '\w+'$/, "")).toBe(text);
  });

  test("those that look at no arguments take any", () => {
    const script = `
facts = [isAsyncAllow(1), isInAtomicBlock(1, 2), hashtag('x'), str(getGearsSession(1)), registerGearsThread(1), execute()]
with atomic('x', 1) as held:
    facts += [isInAtomicBlock(), type(held) is redisgears.PyAtomic]
GB('ShardsIDReader').map(lambda x: facts).run()`;
    expect(ask(script)).toEqual([["[False, False, '06S', 'PyExecutionSession', None, [], True, True]"], []]);
  });

  test("setFutureResults, setFutureException and runCoroutine name their arguments as RedisGears does", () => {
    const script = `
async def wait(future):
    try:
        return await future
    except Exception as error:
        return repr(error)
def f(x):
    done, failed, held = createFuture(), createFuture(), gearsFuture()
    setFutureResults(f=done, res='done')
    setFutureException(f=failed, exception='lost')
    async def both():
        return [await wait(done), await wait(failed)]
    runCoroutine(cr=both(), f=held)
    return held
GB('ShardsIDReader').map(f).run()`;
    expect(ask(script)).toEqual([[`['done', "Exception('lost')"]`], []]);
  });
});

describe("a gearsFuture", () => {
  const run = (body: string): unknown =>
    ask(`def f(x):\n    future = gearsFuture()\n${body}\nGB('ShardsIDReader').map(f).run()`);

  test.each([
    [
      "continueRun before it was returned",
      "    future.continueRun(1)\n    return future",
      /untill it returned from the callback/,
    ],
    ["continueRun without a value", "    future.continueRun()", /Continue function expect an object/],
    ["continueFailed with two", "    future.continueFailed(1, 2)", /Continue function expect an object/],
    ["a keyword", "    future.continueRun(value=1)", /continueRun\(\) got an unexpected keyword argument/],
    ["a second one", "    gearsFuture()", /Can not create async record twice on the same step/],
    [
      "continued after it failed",
      "    future.continueFailed('x')\n    future.continueRun(1)",
      /with the same future twice/,
    ],
  ])("%s", (_name, body, text) => {
    const [results, errors] = run(body) as [unknown[], string[]];
    expect(results).toEqual([]);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(text);
  });

  test("may fail before it was returned", () => {
    expect(run("    future.continueFailed('early')\n    return future")).toEqual([[], ["early"]]);
  });
});
