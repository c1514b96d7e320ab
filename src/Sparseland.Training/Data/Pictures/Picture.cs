namespace Sparseland.Training.Data.Pictures;

/// <summary>A decoded picture.</summary>
/// <param name="Width">Pixels in a row.</param>
/// <param name="Height">Rows.</param>
/// <param name="Channels">1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.</param>
/// <param name="MaxValue">The value of full brightness: 255 or 65535.</param>
/// <param name="Samples">[height, width, channels].</param>
public sealed record Picture(int Width, int Height, int Channels, int MaxValue, ushort[] Samples)
{
    /// <summary>The colours as bytes [channels, height, width] with 1 or 3 channels; alpha is dropped, grey repeated or colour averaged as needed.</summary>
    /// <param name="channels">1 or 3.</param>
    /// <exception cref="ArgumentOutOfRangeException">Another number of channels.</exception>
    public byte[] ToPlanes(int channels)
    {
        if (channels is not (1 or 3)) throw new ArgumentOutOfRangeException(nameof(channels), channels, "1 or 3.");
        int plane = Width * Height, colours = Channels >= 3 ? 3 : 1;
        byte[] result = new byte[checked(plane * channels)];
        for (int p = 0; p < plane; p++)
        {
            ReadOnlySpan<ushort> pixel = Samples.AsSpan(p * Channels, Channels);
            if (channels == 1 && colours == 3)
            {
                // Luma weights of ITU-R BT.601, the ones behind "convert to grey" nearly everywhere.
                int luma = (299 * pixel[0] + 587 * pixel[1] + 114 * pixel[2] + 500) / 1000;
                result[p] = ToByte(luma);
                continue;
            }
            for (int c = 0; c < channels; c++) result[c * plane + p] = ToByte(pixel[colours == 1 ? 0 : c]);
        }
        return result;
    }

    /// <summary>The picture in another size: area average when it shrinks, bilinear when it grows (triangle filter, pixel centres at one half).</summary>
    public Picture Resize(int width, int height)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        if (width == Width && height == Height) return this;
        float[] across = new float[checked(Height * width * Channels)];
        (int[] start, float[][] weights) = Filter(Width, width);
        for (int y = 0; y < Height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                for (int c = 0; c < Channels; c++)
                {
                    float sum = 0;
                    for (int k = 0; k < weights[x].Length; k++) sum += weights[x][k] * Samples[(y * Width + start[x] + k) * Channels + c];
                    across[(y * width + x) * Channels + c] = sum;
                }
            }
        }
        var samples = new ushort[checked(height * width * Channels)];
        (start, weights) = Filter(Height, height);
        int row = width * Channels;
        for (int y = 0; y < height; y++)
        {
            for (int i = 0; i < row; i++)
            {
                float sum = 0;
                for (int k = 0; k < weights[y].Length; k++) sum += weights[y][k] * across[(start[y] + k) * row + i];
                samples[y * row + i] = (ushort)Math.Clamp(MathF.Round(sum), 0, MaxValue);
            }
        }
        return new Picture(width, height, Channels, MaxValue, samples);
    }

    /// <summary>The middle of the picture.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The cut is larger than the picture.</exception>
    public Picture CenterCrop(int width, int height)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)width, (uint)Width, nameof(width));
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)height, (uint)Height, nameof(height));
        int left = (Width - width) / 2, top = (Height - height) / 2;
        var samples = new ushort[width * height * Channels];
        for (int y = 0; y < height; y++)
            Samples.AsSpan(((top + y) * Width + left) * Channels, width * Channels).CopyTo(samples.AsSpan(y * width * Channels));
        return new Picture(width, height, Channels, MaxValue, samples);
    }

    private byte ToByte(int value) => (byte)(MaxValue == 255 ? value : (value + 128) / 257);

    private static (int[] Start, float[][] Weights) Filter(int from, int to)
    {
        double scale = (double)from / to, support = Math.Max(1, scale);
        int[] starts = new int[to];
        float[][] weights = new float[to][];
        for (int i = 0; i < to; i++)
        {
            double centre = (i + 0.5) * scale;
            int first = Math.Max(0, (int)Math.Floor(centre - support)), last = Math.Min(from, (int)Math.Ceiling(centre + support));
            double[] w = new double[last - first];
            for (int k = 0; k < w.Length; k++) w[k] = Math.Max(0, 1 - Math.Abs((first + k + 0.5 - centre) / support));
            double sum = w.Sum();
            starts[i] = first;
            weights[i] = Array.ConvertAll(w, v => (float)(v / sum));
        }
        return (starts, weights);
    }
}
