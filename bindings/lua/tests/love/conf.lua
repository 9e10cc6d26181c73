function love.conf(t)
    t.identity = "ferry-test"
    t.window = false
    for _, module in ipairs({ "audio", "graphics", "image", "joystick", "keyboard", "mouse",
                              "physics", "sound", "touch", "video", "window", "font" }) do
        t.modules[module] = false
    end
end
