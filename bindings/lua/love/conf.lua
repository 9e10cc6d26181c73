function love.conf(t)
    t.identity = "ferry-game"
    t.version = "11.4"
    t.window.title = "Ferry"
    t.window.width, t.window.height = 640, 360
    t.window.vsync = 0 -- The game keeps its own pace, and measures what a frame costs.
    for _, module in ipairs({ "audio", "joystick", "physics", "sound", "video" }) do
        t.modules[module] = false
    end
end
