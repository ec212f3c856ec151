/* A stand-in for libcuda.so.1, for tests on machines without a GPU: real memory, real queues, no arithmetic.

   It is stricter than the real one where a mistake would go unseen here: device addresses cannot be dereferenced, work
   waits until its stream is synchronised, a thread must have made the context current, and all that is open is counted.
   What it is comes from the environment (STAND_IN_DEVICES, _DRIVER, _INIT, _MEMORY, _SLEEP, _ABORT, _CAPABILITY); what it is to
   fail in, from stand_in_fail. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int CUresult;
typedef uint64_t CUdeviceptr;
enum { SUCCESS, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201, BROKEN = 700 };
enum { DEVICE, PINNED, STREAM, GRAPH, EXEC, CONTEXT, KINDS };

#define TAG 0x4000000000000000ull
typedef void (*work_t)(void);
typedef struct op { void *target; const void *source; size_t size; work_t work; struct op *next; } op;
typedef struct { op *first, **last; int capturing; op *recorded, **recorded_last; } queue;
typedef struct block { void *address; size_t size; int kind; struct block *next; } block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long opened[KINDS];
static long calls_left = -1;
static char failing[64];
static int failure;
static int sticky;
static size_t used;
static block *blocks;
static __thread void *current;
static int the_context;
static queue *streams[64];
static long torn;

static long number(const char *name, long otherwise) {
  const char *told = getenv(name);
  return told ? atol(told) : otherwise;
}

static CUresult enter(const char *name, int needs_context) {
  if (sticky) return sticky;
  if (calls_left >= 0 && !strcmp(name, failing) && calls_left-- == 0) return failure;
  return needs_context && !current ? INVALID_CONTEXT : SUCCESS;
}
#define ENTER(needs) do { CUresult wrong = enter(__func__, needs); if (wrong) return wrong; } while (0)

/* For the tests. "Torn" is memory that was freed while a stream still had work with it, and what was freed twice. */
long stand_in_torn(void) { return torn; }
long stand_in_open(int kind) { return opened[kind]; }
void stand_in_fail(const char *name, int code, long after) { strncpy(failing, name, 63); failure = code; calls_left = after; }
void stand_in_break(int code) { sticky = code; }
void *stand_in_host(CUdeviceptr address) { return (void *)(uintptr_t)(address & ~TAG); }

/* Where and how large the block is that holds an address of the device; 0 if there is none. */
size_t stand_in_size(CUdeviceptr address) {
  size_t found = 0;
  pthread_mutex_lock(&lock);
  for (block *b = blocks; b; b = b->next) if (b->kind == DEVICE && b->address == stand_in_host(address)) found = b->size;
  pthread_mutex_unlock(&lock);
  return found;
}

static int holds(const void *address, size_t size, int kind) {
  for (block *b = blocks; b; b = b->next)
    if (b->kind == kind && (char *)address >= (char *)b->address && (char *)address + size <= (char *)b->address + b->size) return 1;
  return 0;
}

static CUresult take(void **found, size_t size, int kind) {
  if (!size) return INVALID_VALUE;
  pthread_mutex_lock(&lock);
  CUresult result = OUT_OF_MEMORY;
  if (used + size <= (size_t)number("STAND_IN_MEMORY", 1L << 30)) {
    block *b = malloc(sizeof *b);
    *b = (block){malloc(size), size, kind, blocks};
    memset(b->address, 0xA5, size);
    blocks = b; used += size; opened[kind]++;
    *found = b->address;
    result = SUCCESS;
  }
  pthread_mutex_unlock(&lock);
  return result;
}

static int touches(const op *each, const block *b) {
  const char *from = b->address, *to = from + b->size;
  for (; each; each = each->next)
    if (((char *)each->target >= from && (char *)each->target < to) || ((char *)each->source >= from && (char *)each->source < to)) return 1;
  return 0;
}

static CUresult give(void *address, int kind) {
  CUresult result = INVALID_VALUE;
  pthread_mutex_lock(&lock);
  torn++;
  for (block **b = &blocks; *b; b = &(*b)->next)
    if ((*b)->address == address && (*b)->kind == kind) {
      block *gone = *b;
      torn--;
      for (int each = 0; each < 64; each++) if (streams[each] && touches(streams[each]->first, gone)) torn++;
      memset(gone->address, 0xDD, gone->size);
      *b = gone->next; used -= gone->size; opened[kind]--;
      free(gone->address); free(gone);
      result = SUCCESS;
      break;
    }
  pthread_mutex_unlock(&lock);
  return result;
}

static void count(int kind, int change) { pthread_mutex_lock(&lock); opened[kind] += change; pthread_mutex_unlock(&lock); }

static void do_all(op *each) { for (; each; each = each->next) each->work ? each->work() : (void)memcpy(each->target, each->source, each->size); }
static void drop_all(op *each) { while (each) { op *next = each->next; free(each); each = next; } }

static void push(queue *q, op one) {
  op *mine = malloc(sizeof *mine);
  *mine = one; mine->next = NULL;
  op ***last = q->capturing ? &q->recorded_last : &q->last;
  **last = mine; *last = &mine->next;
}

CUresult cuInit(unsigned flags) {
  (void)flags;
  if (getenv("STAND_IN_ABORT")) abort();
  sleep((unsigned)number("STAND_IN_SLEEP", 0));
  return (CUresult)number("STAND_IN_INIT", 0);
}
CUresult cuDriverGetVersion(int *version) { *version = (int)number("STAND_IN_DRIVER", 12060); return SUCCESS; }
CUresult cuDeviceGetCount(int *found) { *found = (int)number("STAND_IN_DEVICES", 1); return SUCCESS; }
CUresult cuDeviceGet(int *device, int index) { *device = index; return index < number("STAND_IN_DEVICES", 1) ? SUCCESS : INVALID_DEVICE; }
CUresult cuDeviceGetName(char *name, int size, int device) { strncpy(name, device ? "Stand-in 2" : "Stand-in", (size_t)size); return SUCCESS; }
CUresult cuDeviceTotalMem_v2(size_t *size, int device) { (void)device; *size = (size_t)number("STAND_IN_MEMORY", 1L << 30); return SUCCESS; }

CUresult cuDeviceGetAttribute(int *found, int which, int device) {
  (void)device;
  long capability = number("STAND_IN_CAPABILITY", 87);
  switch (which) {
    case 18: *found = 1; return SUCCESS;
    case 75: *found = (int)(capability / 10); return SUCCESS;
    case 76: *found = (int)(capability % 10); return SUCCESS;
    default: return INVALID_VALUE;
  }
}

CUresult cuGetErrorString(CUresult code, const char **said) {
  switch (code) {
    case OUT_OF_MEMORY: *said = "out of memory"; return SUCCESS;
    case NO_DEVICE: *said = "no CUDA-capable device is detected"; return SUCCESS;
    case INVALID_CONTEXT: *said = "invalid device context"; return SUCCESS;
    case BROKEN: *said = "an illegal memory access was encountered"; return SUCCESS;
    case 34: *said = "CUDA driver is a stub library"; return SUCCESS;
    default: *said = NULL; return INVALID_VALUE;
  }
}

CUresult cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; ENTER(0); *context = &the_context; count(CONTEXT, 1); return SUCCESS; }
CUresult cuDevicePrimaryCtxRelease_v2(int device) { (void)device; count(CONTEXT, -1); return SUCCESS; }
CUresult cuCtxSetCurrent(void *context) { ENTER(0); current = context; return SUCCESS; }

CUresult cuMemAlloc_v2(CUdeviceptr *found, size_t size) {
  ENTER(1);
  void *address = NULL;
  CUresult result = take(&address, size, DEVICE);
  if (!result) *found = (CUdeviceptr)(uintptr_t)address | TAG;
  return result;
}
CUresult cuMemFree_v2(CUdeviceptr address) { return give(stand_in_host(address), DEVICE); }
CUresult cuMemAllocHost_v2(void **found, size_t size) { ENTER(1); return take(found, size, PINNED); }
CUresult cuMemFreeHost(void *address) { return give(address, PINNED); }

CUresult cuStreamCreate(queue **found, unsigned flags) {
  ENTER(1);
  if (flags != 1) return INVALID_VALUE;
  queue *q = calloc(1, sizeof *q);
  q->last = &q->first; q->recorded_last = &q->recorded;
  *found = q; count(STREAM, 1);
  pthread_mutex_lock(&lock);
  for (int each = 0; each < 64; each++) if (!streams[each]) { streams[each] = q; break; }
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}
CUresult cuStreamDestroy_v2(queue *q) {
  pthread_mutex_lock(&lock);
  for (int each = 0; each < 64; each++) if (streams[each] == q) streams[each] = NULL;
  pthread_mutex_unlock(&lock);
  drop_all(q->first); drop_all(q->recorded); free(q); count(STREAM, -1);
  return SUCCESS;
}
CUresult cuStreamSynchronize(queue *q) {
  ENTER(1);
  op *first = q->first;
  q->first = NULL; q->last = &q->first;
  do_all(first); drop_all(first);
  return SUCCESS;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, size_t size, queue *q) {
  ENTER(1);
  if (!(target & TAG) || !holds(stand_in_host(target), size, DEVICE) || !holds(source, size, PINNED)) return INVALID_VALUE;
  push(q, (op){stand_in_host(target), source, size, NULL, NULL});
  return SUCCESS;
}
CUresult cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, size_t size, queue *q) {
  ENTER(1);
  if (!(source & TAG) || !holds(stand_in_host(source), size, DEVICE) || !holds(target, size, PINNED)) return INVALID_VALUE;
  push(q, (op){target, stand_in_host(source), size, NULL, NULL});
  return SUCCESS;
}
void stand_in_enqueue(queue *q, work_t work) { push(q, (op){NULL, NULL, 0, work, NULL}); }

CUresult cuStreamBeginCapture_v2(queue *q, int mode) { ENTER(1); if (mode != 1) return INVALID_VALUE; q->capturing = 1; return SUCCESS; }
CUresult cuStreamEndCapture(queue *q, op **graph) {
  op *recorded = q->recorded;
  CUresult wrong = enter(__func__, 1);
  q->capturing = 0; q->recorded = NULL; q->recorded_last = &q->recorded;
  if (wrong) { drop_all(recorded); recorded = NULL; }
  if (recorded) count(GRAPH, 1);
  *graph = recorded;
  return wrong;
}
CUresult cuGraphDestroy(op *graph) { drop_all(graph); count(GRAPH, -1); return SUCCESS; }
CUresult cuGraphInstantiateWithFlags(queue **found, op *graph, unsigned long long flags) {
  (void)flags;
  ENTER(1);
  queue *q = calloc(1, sizeof *q);
  q->last = &q->first;
  for (op *each = graph; each; each = each->next) push(q, *each);
  *found = q; count(EXEC, 1);
  return SUCCESS;
}
CUresult cuGraphExecDestroy(queue *q) { drop_all(q->first); free(q); count(EXEC, -1); return SUCCESS; }
CUresult cuGraphLaunch(queue *graph, queue *q) { ENTER(1); for (op *each = graph->first; each; each = each->next) push(q, *each); return SUCCESS; }
