# The GPU's code: gpu/engine_cuda.cu where nvcc is to be used, gpu/dev_none.c (no device, and why) where it is not.
#   GPU=1                           builds it (it takes minutes)
#   CUDA_ARCHS='90 100'             for these GPUs only (compute capabilities)
GPU ?=
NVCC ?= $(firstword $(wildcard /usr/local/cuda/bin/nvcc) $(shell command -v nvcc 2>/dev/null))
CUDA_ARCHS ?= $(filter $(subst compute_,,$(shell $(NVCC) --list-gpu-arch 2>/dev/null)),75 80 90 100 120)
CUDA_NEWEST = $(lastword $(CUDA_ARCHS))
CUDA_HOME = $(patsubst %/bin/,%,$(dir $(realpath $(shell command -v $(NVCC)))))
NVCCFLAGS ?= -std=c++17 -O2 -fmad=false --threads 2 -Xptxas -O2 $(if $(WERROR),-Werror all-warnings)
CUDA_CODE = $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) -gencode arch=compute_$(CUDA_NEWEST),code=compute_$(CUDA_NEWEST)

ifneq ($(and $(GPU),$(NVCC)),)
DEV_OBJ := $(BUILD)/obj/gpu/engine_cuda.o
DEV_LIBS = $(firstword $(wildcard $(CUDA_HOME)/lib64/libcudart_static.a $(CUDA_HOME)/targets/*/lib/libcudart_static.a)) -ldl -lrt -l:libstdc++.a
else
DEV_OBJ := $(BUILD)/obj/gpu/dev_none.o
DEV_LIBS :=
endif

$(BUILD)/obj/gpu/engine_cuda.o: gpu/engine_cuda.cu
	$(call say,NVCC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(NVCC) $(NVCCFLAGS) $(CUDA_CODE) $(CPPFLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@
