namespace Sparseland.Kernels.SparseOps;

/// <summary>How a prepared sparse weight is multiplied.</summary>
public enum SparseForm
{
    /// <summary>Loops over indices.</summary>
    Loops,

    /// <summary>Machine code: written for the structure, or, where that would be too long, for all structures, whose rows are put in order for it.</summary>
    Compiled,

    /// <summary>Machine code for the structure and the images' size, or with AVX2 loops, which read shifted planes of one image after the other.</summary>
    Shifted,

    /// <summary>Tiles of rows that share their columns.</summary>
    Tiles,

    /// <summary>The kernel for 3 x 3 weights of one channel each.</summary>
    Depthwise,
}
