namespace Sparseland.Training.Data.Corruptions;

/// <summary>The value of hue, saturation, value grows by 0.05 to 0.3; hue and saturation stay.</summary>
internal sealed class Brightness() : Corruption("brightness", CorruptionFamily.Digital, "the largest channel of every pixel grows by 0.05, 0.1, 0.15, 0.2, 0.3, the others in proportion")
{
    private static readonly float[] s_more = [0.05f, 0.1f, 0.15f, 0.2f, 0.3f];

    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random)
    {
        for (int i = 0; i < picture.Plane; i++)
        {
            float value = 0;
            for (int c = 0; c < picture.Channels; c++) value = Math.Max(value, picture.Channel(c)[i]);
            float wanted = Math.Min(1, value + s_more[severity - 1]);
            for (int c = 0; c < picture.Channels; c++)
            {
                ref float x = ref picture.Channel(c)[i];
                x = value > 0 ? x * (wanted / value) : wanted;
            }
        }
    }
}

/// <summary>Distances from each channel's mean shrink to 0.75 to 0.15.</summary>
internal sealed class Contrast() : Corruption("contrast", CorruptionFamily.Digital, "distances from each channel's mean are multiplied by 0.75, 0.5, 0.4, 0.3, 0.15")
{
    private static readonly double[] s_factor = [0.75, 0.5, 0.4, 0.3, 0.15];

    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random)
    {
        for (int c = 0; c < picture.Channels; c++)
        {
            Span<float> plane = picture.Channel(c);
            double mean = 0;
            foreach (float x in plane) mean += x;
            mean /= plane.Length;
            foreach (ref float x in plane) x = (float)((x - mean) * s_factor[severity - 1] + mean);
        }
    }
}

/// <summary>Larger pixels: reduced to 0.95 to 0.65 of the size by areas and enlarged again.</summary>
internal sealed class Pixelate() : Corruption("pixelate", CorruptionFamily.Digital, "reduced to 0.95, 0.9, 0.85, 0.75, 0.65 of the size by means over areas, then enlarged without smoothing")
{
    private static readonly double[] s_size = [0.95, 0.9, 0.85, 0.75, 0.65];

    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random)
    {
        int h = Math.Max(1, (int)(picture.Height * s_size[severity - 1])), w = Math.Max(1, (int)(picture.Width * s_size[severity - 1]));
        var small = new double[h * w];
        for (int c = 0; c < picture.Channels; c++)
        {
            Span<float> plane = picture.Channel(c);
            for (int y = 0; y < h; y++)
            {
                for (int x = 0; x < w; x++) small[y * w + x] = Area(plane, picture.Width, (double)y * picture.Height / h, (y + 1.0) * picture.Height / h, (double)x * picture.Width / w, (x + 1.0) * picture.Width / w);
            }
            for (int y = 0; y < picture.Height; y++)
            {
                for (int x = 0; x < picture.Width; x++) plane[y * picture.Width + x] = (float)small[(int)((y + 0.5) * h / picture.Height) * w + (int)((x + 0.5) * w / picture.Width)];
            }
        }
    }

    private static double Area(ReadOnlySpan<float> plane, int width, double top, double bottom, double left, double right)
    {
        double sum = 0, weight = 0;
        for (int y = (int)top; y < bottom; y++)
        {
            double fy = Math.Min(bottom, y + 1) - Math.Max(top, y);
            if (fy <= 1e-12) continue;
            for (int x = (int)left; x < right; x++)
            {
                double fx = Math.Min(right, x + 1) - Math.Max(left, x);
                if (fx <= 1e-12) continue;
                sum += fy * fx * plane[y * width + x];
                weight += fy * fx;
            }
        }
        return sum / weight;
    }
}

/// <summary>Shifted by 1 to 5 pixels in a random direction; what comes in is black. Not part of the benchmark.</summary>
internal sealed class Translation() : Corruption("translation", CorruptionFamily.Digital, "shifted by 1, 2, 3, 4, 5 pixels (of 32) in one of eight directions, black comes in; not part of the benchmark")
{
    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random)
    {
        int shift = Math.Max(1, (int)Math.Round(severity * Math.Min(picture.Height, picture.Width) / 32.0)), direction = random.NextInt(8);
        if (direction >= 4) direction++;
        int dy = (direction / 3 - 1) * shift, dx = (direction % 3 - 1) * shift;
        var copy = new float[picture.Plane];
        for (int c = 0; c < picture.Channels; c++)
        {
            Span<float> plane = picture.Channel(c);
            plane.CopyTo(copy);
            for (int y = 0; y < picture.Height; y++)
            {
                for (int x = 0; x < picture.Width; x++)
                {
                    int from = y - dy, side = x - dx;
                    plane[y * picture.Width + x] = from >= 0 && from < picture.Height && side >= 0 && side < picture.Width ? copy[from * picture.Width + side] : 0;
                }
            }
        }
    }
}
