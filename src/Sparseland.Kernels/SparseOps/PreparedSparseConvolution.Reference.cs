namespace Sparseland.Kernels.SparseOps;

public sealed unsafe partial class PreparedSparseConvolution
{
    /// <summary>Calls visit(output index, input index, stored index) for every product of the convolution: its definition, for tests.</summary>
    internal void VisitProducts(int batch, int height, int width, Action<int, int, int> visit)
    {
        SparseConvolutionShape s = Shape;
        int outHeight = s.OutHeight(height), outWidth = s.OutWidth(width), taps = s.KernelHeight * s.KernelWidth;
        for (int n = 0; n < batch; n++)
        {
            for (int o = 0; o < s.OutChannels; o++)
            {
                for (int j = _rowPointers[o]; j < _rowPointers[o + 1]; j++)
                {
                    int channel = o / (s.OutChannels / s.Groups) * (s.InChannels / s.Groups) + _columns[j] / taps, tap = _columns[j] % taps;
                    for (int oh = 0; oh < outHeight; oh++)
                    {
                        int ih = oh * s.StrideHeight - s.PadTop + tap / s.KernelWidth * s.DilationHeight;
                        if ((uint)ih >= (uint)height) continue;
                        for (int ow = 0; ow < outWidth; ow++)
                        {
                            int iw = ow * s.StrideWidth - s.PadLeft + tap % s.KernelWidth * s.DilationWidth;
                            if ((uint)iw >= (uint)width) continue;
                            visit(((n * s.OutChannels + o) * outHeight + oh) * outWidth + ow, ((n * s.InChannels + channel) * height + ih) * width + iw, j);
                        }
                    }
                }
            }
        }
    }
}
