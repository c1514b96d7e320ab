using Sparseland.Model;

namespace Sparseland.Training.Data;

/// <summary>What the samples of a data set are like, so that a network can be fed with numbers around zero.</summary>
public static class InputStatistics
{
    /// <summary>Mean and deviation of every channel over (at most the first 10,000) samples of a data set.</summary>
    public static InputNormalization Measure(IDataset dataset)
    {
        ArgumentNullException.ThrowIfNull(dataset);
        int channels = dataset.SampleShape.Length == 3 ? dataset.SampleShape[0] : 1;
        float[] sample = new float[dataset.SampleLength()];
        int[] targets = new int[dataset.TargetsPerSample];
        var sum = new double[channels];
        var squares = new double[channels];
        int plane = sample.Length / channels, count = Math.Min(dataset.Count, 10_000);
        for (int i = 0; i < count; i++)
        {
            dataset.Fill(i, sample, targets);
            for (int c = 0; c < channels; c++)
            {
                foreach (float x in sample.AsSpan(c * plane, plane))
                {
                    sum[c] += x;
                    squares[c] += (double)x * x;
                }
            }
        }
        var mean = new float[channels];
        var deviations = new float[channels];
        for (int c = 0; c < channels; c++)
        {
            double n = Math.Max(1.0, (double)count * plane), m = sum[c] / n;
            mean[c] = (float)m;
            double deviation = Math.Sqrt(Math.Max(0, squares[c] / n - m * m));
            deviations[c] = deviation > 1e-6 ? (float)deviation : 1f;
        }
        return new InputNormalization(mean, deviations);
    }
}
