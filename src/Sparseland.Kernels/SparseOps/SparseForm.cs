namespace Sparseland.Kernels.SparseOps;

/// <summary>How a prepared sparse weight is multiplied.</summary>
public enum SparseForm
{
    /// <summary>Loops over indices.</summary>
    Loops,

    /// <summary>Machine code that is written for the structure.</summary>
    Compiled,

    /// <summary>Machine code for the structure and the images' size, or with AVX2 loops, which read shifted planes of one image after the other.</summary>
    Shifted,

    /// <summary>Tiles of rows that share their columns.</summary>
    Tiles,

    /// <summary>The kernel for 3 x 3 weights of one channel each.</summary>
    Depthwise,

    /// <summary>Machine code for all structures, whose rows are put in order by how many values they have: with AVX2, and where code of a structure's own would come from too far.</summary>
    Counted,
}
