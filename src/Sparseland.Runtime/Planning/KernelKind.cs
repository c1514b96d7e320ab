namespace Sparseland.Runtime;

/// <summary>The kernels that a plan chooses from for a weight.</summary>
public enum KernelKind
{
    /// <summary>Dense, prepared in panels.</summary>
    Dense,

    /// <summary>Compressed rows against many rows of input, or shifted planes of an image.</summary>
    Csr,

    /// <summary>Compressed rows against one vector, in windows where the machine has registers for them.</summary>
    CsrVector,

    /// <summary>Bit-mask and packed values against one vector.</summary>
    BitmaskVector,

    /// <summary>Tiles of at least 4 outputs by 1 input, against many rows of input.</summary>
    Block,

    /// <summary>Tiles of at least 4 outputs by 1 input, against one vector.</summary>
    BlockVector,

    /// <summary>Direct sparse convolution of one group: kernels of several taps, strides, padding.</summary>
    Convolution,

    /// <summary>Sparse depthwise 3 x 3 convolution, where the dense one has a kernel of its own too.</summary>
    Depthwise,

    /// <summary>A full weight stored by columns against one vector behind a rectifier: columns beside zeros are not read.</summary>
    Columns,

    /// <summary>Sparse 1 x 1 convolution of one group that reads the image where it is: no stride, no padding.</summary>
    Pointwise,

    /// <summary>Sparse convolution of several groups, without blocks: loops over indices, on every machine.</summary>
    Grouped,

    /// <summary>Sparse convolution with blocks of at least 4 outputs, which are multiplied as tiles.</summary>
    ConvolutionBlock,
}
