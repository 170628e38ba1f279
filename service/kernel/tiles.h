/* Batches on a matrix unit, where the processor has one (tiles.c). */

#ifndef MERIDIAN_TILES_H
#define MERIDIAN_TILES_H

#include "table.h"

typedef struct tiles tiles;

/* NULL where there is no such unit, the class is too small for it, or no memory. */
tiles *tiles_open(const table *t, const class *c);
/* Pairs of the tile at `first` that the fine codes let through. */
int64_t tiles_pairs(tiles *ready, int64_t first, float z, pair *pairs);
void tiles_close(tiles *ready);

#endif
