# The GPU machine: make gpu-bundle packs what it needs into $(BUILD)/gpu-bundle (tests/gpu/pack.sh); there run.sh does the rest. make
# gpu-check does the same on this machine. Programs of CUDA's are built where nvcc is, and linked so that they need only the driver.
NVCC ?= $(firstword $(wildcard /usr/local/cuda/bin/nvcc) $(shell command -v nvcc 2>/dev/null))
GPU_BUNDLE ?= $(BUILD)/gpu-bundle
GPU_BENCH_ARCH ?= -gencode arch=compute_75,code=sm_75 -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=[sm_90,compute_90]
GPU_BENCH_SRC := $(wildcard bench/gpu_*.cu)
GPU_BENCH_BIN := $(if $(NVCC),$(GPU_BENCH_SRC:%.cu=$(BUILD)/%))

# (To be linked, as the engine is: mk/cuda.mk says why.)
$(BUILD)/bench/gpu_%: bench/gpu_%.cu
	$(call say,NVCC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(NVCC) -O2 -rdc=true -maxrregcount=64 --threads 2 -Werror all-warnings $(GPU_BENCH_ARCH) -cudart static -Xcompiler -static-libstdc++,-static-libgcc -I. -Iinclude -o $@ $(filter %.cu %.c,$^)
$(BUILD)/bench/gpu_sampler: bench/gpu_sampler_world.c bench/gpu_sampler_world.h $(wildcard gpu/*.h)

# Tests that an emulated device passes here, on a real one: those that name GF_TEST_DEV.
GPU_TEST_BIN := $(if $(and $(GPU),$(NVCC)),$(patsubst tests/unit/%.c,$(BUILD)/tests/gpu/%,$(shell grep -ls GF_TEST_DEV tests/unit/test_*.c)))
$(BUILD)/obj/tests/gpu/%.o: tests/unit/%.c | $(GENERATED)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -DGF_TEST_DEV=gf_dev_cuda -MMD -MP -c $< -o $@
$(BUILD)/tests/gpu/test_%: $(BUILD)/obj/tests/gpu/test_%.o $(DEV_OBJ) $(DAEMON_LIB_OBJ) $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(DEV_LIBS) $(LDLIBS) -lcmocka

$(BUILD)/tests/gpu/test_sweep: $(SWEEP_OBJ)

$(BUILD)/tests/unit/test_engine_random: $(BUILD)/obj/gpu/dev_emu.o

build-gpu: programs build-bench $(GPU_TEST_BIN) $(GPU_BENCH_BIN) $(BUILD)/tests/vm/guestd $(BUILD)/tests/helpers/spoil $(BUILD)/tests/gpufasd-emu
gpu-bundle:
	$(Q)$(MAKE) --no-print-directory GPU=1 build-gpu
	$(Q)BUILD=$(BUILD) tests/gpu/pack.sh $(GPU_BUNDLE)
# One command on a machine with a GPU; ARGS: parts, --short, --engine cpu.
gpu-check:
	$(Q)$(MAKE) --no-print-directory deps DEPS='build bench vm'
	$(Q)$(MAKE) --no-print-directory GPU=1 build-gpu
	$(Q)bash -c '. tests/vm/lib.sh; for m in linux-image-cloud-amd64 linux-image-6.12-cloud-amd64; do vm_kernel $$m || echo "$$m: $$why"; done'
	$(Q)BUILD=$(BUILD) OUT=$(BUILD)/gpu-out tests/gpu/run.sh $(ARGS)
build-tests: $(GPU_BENCH_BIN)
.PHONY: build-gpu gpu-bundle gpu-check
