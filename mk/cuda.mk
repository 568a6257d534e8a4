# The GPU's code: gpu/engine_cuda.cu where nvcc is to be used, gpu/dev_none.c (no device, and why) where it is not.
#   GPU=        does not build it, though there is nvcc;  NVCC=/usr/local/cuda/bin/nvcc  where it is
#   CUDA_ARCHS='90 100'             for these GPUs only (compute capabilities)
NVCC ?= $(firstword $(wildcard /usr/local/cuda/bin/nvcc) $(shell command -v nvcc 2>/dev/null))
GPU ?= $(if $(NVCC),1)
CUDA_ARCHS ?= $(filter $(subst compute_,,$(if $(NVCC),$(shell $(NVCC) --list-gpu-arch 2>/dev/null))),75 80 90 100 120)
CUDA_NEWEST = $(lastword $(CUDA_ARCHS))
CUDA_HOME = $(patsubst %/bin/,%,$(dir $(realpath $(shell command -v $(NVCC)))))
# Device code is compiled to be linked (-rdc): as a whole program ptxas takes eight times as long over it. 64 registers are what lanes of
# a block of 1024 can have.
NVCCFLAGS ?= -std=c++17 -O2 -fmad=false -rdc=true -maxrregcount=64 --threads 2 $(if $(WERROR),-Werror all-warnings)
CUDA_CODE = $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) -gencode arch=compute_$(CUDA_NEWEST),code=compute_$(CUDA_NEWEST)

ifneq ($(and $(GPU),$(NVCC)),)
DEV_OBJ := $(BUILD)/obj/gpu/engine_cuda.o $(BUILD)/obj/gpu/engine_cuda_link.o
SWEEP_OBJ := $(BUILD)/obj/sim/sweep_cuda.o $(BUILD)/obj/sim/sweep_cuda_link.o
# What the device launches by itself is the device runtime's.
DEV_LIBS = $(foreach l,cudadevrt cudart_static,$(firstword $(wildcard $(CUDA_HOME)/lib64/lib$(l).a $(CUDA_HOME)/targets/*/lib/lib$(l).a))) -ldl -lrt -l:libstdc++.a
else
DEV_OBJ := $(BUILD)/obj/gpu/dev_none.o
SWEEP_OBJ := $(BUILD)/obj/sim/sweep_none.o
DEV_LIBS :=
endif

$(BUILD)/obj/gpu/engine_cuda.o: gpu/engine_cuda.cu
$(BUILD)/obj/sim/sweep_cuda.o: sim/sweep_cuda.cu | $(GENERATED)
$(BUILD)/obj/gpu/engine_cuda.o $(BUILD)/obj/sim/sweep_cuda.o:
	$(call say,NVCC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(NVCC) $(NVCCFLAGS) $(CUDA_CODE) $(CPPFLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

$(BUILD)/obj/gpu/engine_cuda_link.o: $(BUILD)/obj/gpu/engine_cuda.o
$(BUILD)/obj/sim/sweep_cuda_link.o: $(BUILD)/obj/sim/sweep_cuda.o
$(BUILD)/obj/gpu/engine_cuda_link.o $(BUILD)/obj/sim/sweep_cuda_link.o:
	$(call say,NVLINK,$@)
	$(Q)$(NVCC) -dlink -Xfatbin -compress-all $(CUDA_CODE) $< -o $@ -lcudadevrt

# With or without, and for which GPUs: another answer than last time's is built anew.
$(BUILD)/obj/gpu/dev.is: FORCE
	$(Q)mkdir -p $(@D)
	$(Q)echo '$(DEV_OBJ) $(CUDA_CODE)' | cmp -s - $@ || echo '$(DEV_OBJ) $(CUDA_CODE)' >$@
$(BUILD)/obj/gpu/engine_cuda.o $(BUILD)/obj/sim/sweep_cuda.o $(BUILD)/gpufasd $(BUILD)/gpufasctl: $(BUILD)/obj/gpu/dev.is
FORCE:
.PHONY: FORCE
