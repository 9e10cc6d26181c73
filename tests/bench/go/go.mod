module bench

go 1.19

require ferry v0.0.0

replace ferry => ../../../bindings/go
