# Each target is one line; where there is no make, type the line itself.
PYTHON ?= python3

.PHONY: lab test run notebooks data bench

lab:        ; @$(PYTHON) -m mtl_tutorial lab $(if $(PORT),--port $(PORT))
test:       ; @$(PYTHON) -m mtl_tutorial test $(if $(QUICK),--quick)
run:        ; @$(PYTHON) -m mtl_tutorial run $(NAME) $(if $(SCALE),--scale $(SCALE)) $(if $(SEED),--seed $(SEED))
notebooks:  ; @$(PYTHON) -m mtl_tutorial notebooks $(NAME)
data:       ; @$(PYTHON) -m mtl_tutorial data $(NAME)
bench:      ; @$(PYTHON) -m mtl_tutorial bench $(NAME) $(if $(QUICK),--quick)
