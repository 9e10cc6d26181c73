function love.conf(t)
    t.identity = "ferry-game"
    t.version = "11.4"
    t.window.title = "Ferry"
    t.window.width, t.window.height = 640, 360
    t.window.vsync = 0 -- The game keeps its own pace, and measures what a frame costs.
    t.modules.audio, t.modules.sound, t.modules.physics, t.modules.video = false, false, false, false
    t.modules.joystick = false
end
