namespace Sparseland.Kernels.Dense;

public readonly partial record struct Convolution2D
{
    /// <summary>The definition of the forward product, element by element in double precision; for tests.</summary>
    internal void ForwardReference(ReadOnlySpan<float> input, ReadOnlySpan<float> weight, ReadOnlySpan<float> bias, Span<float> output)
    {
        for (int i = 0; i < OutputLength; i++)
        {
            double sum = 0;
            foreach ((int x, int w) in Terms(i)) sum += (double)input[x] * weight[w];
            output[i] = (float)(sum + (bias.IsEmpty ? 0f : bias[i / (OutHeight * OutWidth) % OutChannels]));
        }
    }

    /// <summary>The transpose of <see cref="ForwardReference"/> in the input; for tests.</summary>
    internal void BackwardInputReference(ReadOnlySpan<float> outputGradient, ReadOnlySpan<float> weight, Span<float> inputGradient)
    {
        var sums = new double[InputLength];
        for (int i = 0; i < OutputLength; i++)
        {
            foreach ((int x, int w) in Terms(i)) sums[x] += (double)outputGradient[i] * weight[w];
        }
        for (int i = 0; i < sums.Length; i++) inputGradient[i] = (float)sums[i];
    }

    /// <summary>The transpose of <see cref="ForwardReference"/> in the weight; for tests.</summary>
    internal void BackwardWeightReference(ReadOnlySpan<float> input, ReadOnlySpan<float> outputGradient, Span<float> weightGradient)
    {
        var sums = new double[WeightLength];
        for (int i = 0; i < OutputLength; i++)
        {
            foreach ((int x, int w) in Terms(i)) sums[w] += (double)outputGradient[i] * input[x];
        }
        for (int i = 0; i < sums.Length; i++) weightGradient[i] = (float)sums[i];
    }

    // The pairs (input, weight) whose products are summed into one output value.
    private IEnumerable<(int Input, int Weight)> Terms(int output)
    {
        int x = output % OutWidth, y = output / OutWidth % OutHeight, m = output / (OutWidth * OutHeight) % OutChannels, n = output / (OutWidth * OutHeight * OutChannels);
        int channels = InChannels / Groups, group = m / (OutChannels / Groups);
        for (int c = 0; c < channels; c++)
        {
            for (int r = 0; r < KernelHeight; r++)
            {
                for (int s = 0; s < KernelWidth; s++)
                {
                    int iy = (y * StrideY) - PadTop + (r * DilationY), ix = (x * StrideX) - PadLeft + (s * DilationX);
                    if (iy < 0 || iy >= Height || ix < 0 || ix >= Width) continue;
                    yield return ((((((n * InChannels) + (group * channels) + c) * Height) + iy) * Width) + ix,
                        (((((m * channels) + c) * KernelHeight) + r) * KernelWidth) + s);
                }
            }
        }
    }
}
