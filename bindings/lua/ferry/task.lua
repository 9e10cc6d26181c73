-- Tasks: coroutines that wait for operations, for each other and for sources of completions.
local library = require("ferry.native")

local create, resume = coroutine.create, coroutine.resume
local running, yield = coroutine.running, coroutine.yield
local CANCELED = library.constants.E_CANCELED

local Task = {}
Task.__index = Task

local current -- The task that runs, if any; in the main program it is nil.

local function pack(...)
    return { n = select("#", ...), ... }
end

local function body(task, call, ...)
    task.results = pack(call(...))
    task.done = true
end

-- A task that `engine` will start in its next turn.
function Task.spawn(engine, call, ...)
    local task = setmetatable({ engine = engine, thread = create(body) }, Task)
    task.arguments = pack(task, call, ...)
    engine.tasks = engine.tasks + 1
    engine:ready(task)
    return task
end

local function wake_joiners(task)
    local joiners = task.joiners
    if not joiners then
        return
    end
    for _, joiner in ipairs(joiners) do
        if joiner.parked == task then
            joiner.parked = nil
            joiner.engine:ready(joiner)
        end
    end
end

local function ended(task, fine, problem)
    local engine = task.engine
    engine.tasks = engine.tasks - 1
    if not fine then
        task.done = true
        task.problem = debug.traceback(task.thread, tostring(problem))
        if not task.joiners then
            engine.problems[#engine.problems + 1] = task
        end
    end
    wake_joiners(task)
end

-- Let it go on until it waits again, or has ended.
function Task.continue(task, a, b, c)
    local before = current
    current = task
    local fine, problem = resume(task.thread, a, b, c)
    current = before
    if task.done or not fine then
        ended(task, fine, problem)
    end
end

function Task.start(task)
    local arguments = task.arguments
    if not arguments then
        return Task.continue(task)
    end
    task.arguments = nil
    local before = current
    current = task
    local fine, problem = resume(task.thread, unpack(arguments, 1, arguments.n))
    current = before
    if task.done or not fine then
        ended(task, fine, problem)
    end
end

-- The task that calls, or nil in the main program.
function Task.current()
    if current and running() ~= current.thread then
        error("a coroutine of the program's own cannot wait for Ferry: use ferry.spawn", 3)
    end
    return current
end

-- Wait for what `key` stands for: a task until it is let go on, the main program by running the
-- engine until it is over.
function Task.park(engine, key, is_over)
    local task = Task.current()
    if task then
        if task.cancelled then
            task.cancelled = nil
            return true
        end
        task.parked = key
        yield()
        return true
    end
    while not is_over(key) do
        local fine, message, code = engine:turn()
        if not fine then
            return nil, message, code
        end
    end
    return true
end

local function is_done(task)
    return task.done
end

-- Wait for its end: what its function returned, or nil and the message of the error that ended it.
function Task:join()
    if not self.done then
        local joiner = Task.current()
        if joiner == self then
            error("a task cannot wait for itself", 2)
        end
        self.joiners = self.joiners or {}
        self.joiners[#self.joiners + 1] = joiner
        local fine, message, code = Task.park(self.engine, self, is_done)
        if not fine then
            return nil, message, code
        elseif not self.done then -- It is the waiting that was cancelled.
            return library.failure(CANCELED)
        end
    end
    if self.problem then
        for i, other in ipairs(self.engine.problems) do
            if other == self then
                table.remove(self.engine.problems, i)
                break
            end
        end
        return nil, self.problem
    end
    return unpack(self.results, 1, self.results.n)
end

-- Whatever it waits for ends early: the call it is in returns nil, message, CANCELED. Returns false
-- if it has ended already.
function Task:cancel()
    if self.done then
        return false
    end
    if self.slot then
        self.waits_on:cancel(self.slot)
    elseif self.parked then
        self.parked = nil
        self.engine:ready(self)
    else
        self.cancelled = true -- The next call it makes.
    end
    return true
end

return Task
