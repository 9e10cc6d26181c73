-- Fails where luajit finds no luv.
require("luv")
