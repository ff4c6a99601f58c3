/* SPDX-License-Identifier: MIT
 * Sends each block to the module of its size; see block.h. No state, no lock of its own. */
#include "core/block.h"

#include "core/account.h"
#include "core/purge.h"

const char *(*wr_block_namer)(const void *address, size_t *usable);

static struct wr_block look_in_arena(struct wr_arena *arena, const void *address)
{
    unsigned page = wr_arena_page(address);
    struct wr_span *span = &arena->span[page / WR_SPAN_PAGES];
    struct wr_block block = {.arena = arena, .span = span, .pool = &arena->pool[page]};
    size_t offset = (size_t)((const char *)address - wr_span_start(span));
    block.class = span->kind == WR_SPAN_SMALL ? wr_pool_class_unsure(block.pool) : span->class;
    const struct wr_class *class = &wr_geometry.class[block.class];
    bool exact;
    switch (span->kind) {
    case WR_SPAN_SMALL:
        wr_geometry_block(class, offset % WR_PAGE_SIZE, &exact);
        block.size = class->size;
        block.kind = exact && wr_pool_heap(block.pool) != NULL ? WR_BLOCK_SMALL : WR_BLOCK_INVALID;
        break;
    case WR_SPAN_MEDIUM:
        wr_geometry_block(class, offset, &exact);
        block.size = class->size;
        block.kind = exact ? WR_BLOCK_MEDIUM : WR_BLOCK_INVALID;
        break;
    case WR_SPAN_LARGE:
        block.size = wr_large_size(span);
        block.kind = offset == 0 ? WR_BLOCK_LARGE : WR_BLOCK_INVALID;
        break;
    default:
        block.kind = WR_BLOCK_INVALID;
    }
    return block;
}

struct wr_block wr_block_look(const void *address)
{
    uintptr_t entry = wr_map_get(address);
    if ((entry & WR_MAP_ARENA) != 0)
        return look_in_arena((struct wr_arena *)(entry - WR_MAP_ARENA), address);
    struct wr_extent *huge = wr_extent_at(address);
    if (huge == NULL) /* what is mapped there now, if anything, may be somebody else's, but for a first byte */
        return (struct wr_block){
            .kind = entry == ((uintptr_t)address | WR_MAP_GONE) ? WR_BLOCK_INVALID : WR_BLOCK_FOREIGN};
    bool start = huge->start == (uintptr_t)address;
    return (struct wr_block){
        .kind = start ? WR_BLOCK_HUGE : WR_BLOCK_INVALID, .size = start ? huge->size : 0, .huge = huge};
}

void wr_block_fatal(const struct wr_block *block, const void *address, const char *verb)
{
    size_t usable;
    const char *type = wr_block_namer != NULL ? wr_block_namer(address, &usable) : NULL;
    if (type != NULL)
        wr_fatal("invalid %s of %p: it is an object of type \"%s\"; objects are released with weir_unref()", verb,
                 address, type);
    if (block->huge != NULL)
        wr_fatal("invalid %s of interior pointer %p: it lies inside the block of %zu bytes at %p", verb, address,
                 block->huge->size, (void *)block->huge->start);
    if (block->span == NULL)
        wr_fatal("invalid %s, likely a double free of %p: a block with a mapping of its own was there, and was freed",
                 verb, address);
    struct wr_span *span = block->span;
    size_t offset = (size_t)((const char *)address - wr_span_start(span));
    const struct wr_class *class = &wr_geometry.class[block->class];
    unsigned first = span->kind == WR_SPAN_LARGE_MORE ? span->first : wr_span_index(span);
    bool small = span->kind == WR_SPAN_SMALL;
    switch (span->kind) {
    case WR_SPAN_FREE:
        wr_fatal("invalid %s, likely a double free of %p: its memory, at %p, holds no block any more", verb, address,
                 (void *)wr_span_start(span));
    case WR_SPAN_HEAD:
        wr_fatal("invalid %s of %p: it points into Weir's own descriptors", verb, address);
    case WR_SPAN_OBJECT:
        wr_fatal("invalid %s of %p: it points into a page of objects, and at none that is alive", verb, address);
    case WR_SPAN_LARGE:
    case WR_SPAN_LARGE_MORE:
        wr_fatal("invalid %s of interior pointer %p: it lies inside the block of %zu bytes at %p", verb, address,
                 wr_large_size(&block->arena->span[first]), (void *)wr_span_start(&block->arena->span[first]));
    default:
        if (small && wr_pool_heap(block->pool) == NULL)
            wr_fatal(
                "invalid %s, likely a double free of %p: its pool, the page at %p that held %u-byte blocks, is free",
                verb, address, (void *)wr_pool_start(block->pool), class->size);
        offset = small ? offset % WR_PAGE_SIZE : offset;
        wr_fatal(
            "invalid %s of interior pointer %p: it lies %zu bytes into a block of the pool of %u-byte blocks at %p",
            verb, address, offset % class->size, class->size,
            (void *)(small ? wr_pool_start(block->pool) : wr_span_start(span)));
    }
}

void *wr_block_alloc(struct wr_heap *heap, size_t size, size_t align, bool *zeroed)
{
    int class = align <= WR_MIN_ALIGN && size <= WR_MEDIUM_MAX ? (int)wr_geometry_class(size)
                                                               : wr_geometry_aligned_class(size, align);
    if (class >= 0)
        return wr_heap_alloc(heap, (unsigned)class, zeroed);
    void *block = size <= WR_LARGE_MAX && align <= WR_LARGE_MAX ? wr_large_alloc(size, align, zeroed)
                                                                : wr_huge_alloc(size, align, zeroed);
    wr_purge_check(); /* the bound falls as demand nears what it was lately */
    return block;
}

static void free_small(struct wr_heap *heap, struct wr_pool *pool, void *address)
{
    if (wr_pool_heap(pool) == heap) {
        wr_heap_free_local(heap, pool, address);
        return;
    }
    heap->remote_frees++;
    if (wr_pool_push_remote(pool, address, address, 1))
        wr_heap_settle(pool, address);
}

void wr_block_free(struct wr_heap *heap, const struct wr_block *block, void *address)
{
    switch (block->kind) {
    case WR_BLOCK_SMALL:
        free_small(heap, block->pool, address);
        return;
    case WR_BLOCK_MEDIUM:
        wr_heap_free_medium(block->span, address);
        return;
    case WR_BLOCK_LARGE:
        wr_large_free(address);
        break;
    default:
        wr_huge_free(block->huge, address);
    }
    wr_purge_check();
}

void *wr_block_resize(const struct wr_block *block, void *address, size_t size)
{
    switch (block->kind) {
    case WR_BLOCK_SMALL:
    case WR_BLOCK_MEDIUM:
        /* A block that would be less than half full moves to a smaller one. */
        return size <= block->size && (size >= block->size / 2 || block->size <= 2 * WR_MIN_ALIGN) ? address : NULL;
    case WR_BLOCK_LARGE:
        if (size <= WR_MEDIUM_MAX || size > WR_LARGE_MAX || !wr_large_resize(address, size))
            return NULL;
        wr_purge_check();
        return address;
    default:
        if (size <= WR_LARGE_MAX / 2)
            return NULL;
        address = wr_huge_resize(block->huge, address, size);
        wr_purge_check();
        return address;
    }
}
