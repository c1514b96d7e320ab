namespace Sparseland.Runtime;

/// <summary>Draws token ids from logits; equal logits go to the lower id.</summary>
internal sealed class TokenSampler
{
    private readonly GenerationOptions _options;
    private readonly Random _random;

    public TokenSampler(GenerationOptions options)
    {
        options.Validate();
        _options = options;
        _random = new Random(options.Seed);
    }

    /// <summary>The next token for logits [vocabulary].</summary>
    public int Next(ReadOnlySpan<float> logits)
    {
        if (_options.Temperature == 0) return Likeliest(logits);

        var ids = new int[logits.Length];
        var weights = new double[logits.Length];
        double largest = logits[Likeliest(logits)], sum = 0;
        for (int i = 0; i < ids.Length; i++)
        {
            ids[i] = i;
            double weight = Math.Exp((logits[i] - largest) / _options.Temperature);
            weights[i] = double.IsNaN(weight) ? 0 : weight;
        }
        int kept = ids.Length;
        if (_options.TopK > 0 || _options.TopP < 1)
        {
            double[] byId = (double[])weights.Clone();
            Array.Sort(ids, (a, b) => byId[b] != byId[a] ? byId[b].CompareTo(byId[a]) : a.CompareTo(b));
            for (int i = 0; i < ids.Length; i++) weights[i] = byId[ids[i]];
            if (_options.TopK > 0) kept = Math.Min(kept, _options.TopK);
            if (_options.TopP < 1)
            {
                double all = 0, held = 0;
                for (int i = 0; i < kept; i++) all += weights[i];
                for (int i = 0; i < kept; i++)
                {
                    held += weights[i];
                    if (held < _options.TopP * all) continue;
                    kept = i + 1;
                    break;
                }
            }
        }
        for (int i = 0; i < kept; i++) sum += weights[i];
        double at = _random.NextDouble() * sum;
        for (int i = 0; i < kept; i++)
        {
            at -= weights[i];
            if (at < 0) return ids[i];
        }
        return ids[kept - 1];
    }

    private static int Likeliest(ReadOnlySpan<float> logits)
    {
        int best = 0;
        for (int i = 1; i < logits.Length; i++)
        {
            if (logits[i] > logits[best] || (float.IsNaN(logits[best]) && !float.IsNaN(logits[i]))) best = i;
        }
        return best;
    }
}
