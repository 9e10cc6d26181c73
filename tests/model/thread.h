// Included before everything that is compiled for the model: which thread this is, is for the checker to say.
#pragma once

#ifdef __cplusplus
extern "C"
#endif
    void *
    model_thread(void);

#define __builtin_thread_pointer model_thread
