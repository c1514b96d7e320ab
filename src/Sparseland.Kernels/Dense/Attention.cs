using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>The geometry of scaled dot-product attention, and its products.</summary>
/// <remarks>
/// query [batch, queryHeads, queries, headSize], key [batch, keyHeads, keys, headSize], value [batch, keyHeads, keys, valueSize],
/// output [batch, queryHeads, queries, valueSize]. Query head h reads key head h / (queryHeads / keyHeads). The score of
/// query i and key j is softCap * tanh(scale * q.k / softCap) (without a cap: scale * q.k) plus a bias; keys that are masked
/// (causal, beyond the key length, bias of negative infinity) do not count. A query without keys gives zeros.
/// Nothing of size queries x keys is stored: Dao et al., "FlashAttention", algorithm 1; Milakov, Gimelshein, "Online
/// normalizer calculation for softmax", algorithm 3. What a bias hides is not computed: tiles without a visible score are
/// skipped (block-sparse attention, Dao et al., section 3.3), and where whole queries or keys are hidden the others are
/// gathered first (a subset of tokens); see <see cref="AttentionPattern"/>. A hidden score counts as exactly zero either way,
/// but an infinity or NaN in a key or value that nobody sees does not reach the result.
/// </remarks>
public readonly partial record struct Attention
{
    // Tiles of the score matrix: 32 KiB of scores, and operands that stay in the second-level cache.
    private const int QueryTile = AttentionPattern.QueryTile;
    private const int MostRuns = 4;
    private const int KeyTile = MostRuns * AttentionPattern.KeyPanel;

    /// <summary>Attention with scale 1 / sqrt(headSize), no mask, and values as wide as keys; set the rest with an initialiser.</summary>
    /// <param name="batch">Sequences, at least 0.</param>
    /// <param name="queryHeads">Heads of the query, at least 1.</param>
    /// <param name="keyHeads">Heads of key and value, a divisor of queryHeads.</param>
    /// <param name="queries">Positions of the query, at least 0.</param>
    /// <param name="keys">Positions of key and value, at least 0.</param>
    /// <param name="headSize">Width of a head, at least 1.</param>
    public Attention(int batch, int queryHeads, int keyHeads, int queries, int keys, int headSize)
    {
        (Batch, QueryHeads, KeyHeads, Queries, Keys, HeadSize, ValueSize) = (batch, queryHeads, keyHeads, queries, keys, headSize, headSize);
        Scale = 1f / MathF.Sqrt(headSize);
        KeyCapacity = keys;
    }

    /// <summary>Sequences.</summary>
    public int Batch { get; init; }

    /// <summary>Heads of the query.</summary>
    public int QueryHeads { get; init; }

    /// <summary>Heads of key and value.</summary>
    public int KeyHeads { get; init; }

    /// <summary>Positions of the query.</summary>
    public int Queries { get; init; }

    /// <summary>Positions of key and value that take part.</summary>
    public int Keys { get; init; }

    /// <summary>Width of a query and key head.</summary>
    public int HeadSize { get; init; }

    /// <summary>Width of a value head.</summary>
    public int ValueSize { get; init; }

    /// <summary>Positions that each head of key and value is stored with, at least <see cref="Keys"/>: the capacity of a cache.</summary>
    public int KeyCapacity { get; init; }

    /// <summary>Factor of q.k.</summary>
    public float Scale { get; init; }

    /// <summary>Cap of the scores, 0 for none (Gemma 2, section 2).</summary>
    public float SoftCap { get; init; }

    /// <summary>Whether query i sees keys 0 .. i + <see cref="CausalOffset"/> only.</summary>
    public bool Causal { get; init; }

    /// <summary>Position of query 0 among the keys: the number of keys from earlier calls.</summary>
    public int CausalOffset { get; init; }

    /// <summary>Distance of the bias between sequences; 0 uses one for all.</summary>
    public int BiasBatchStride { get; init; }

    /// <summary>Distance of the bias between query heads; 0 uses one for all.</summary>
    public int BiasHeadStride { get; init; }

    /// <summary>Distance of the bias between queries: the number of keys, or 0 to use one row for all.</summary>
    public int BiasQueryStride { get; init; }

    /// <summary>Computes the output.</summary>
    /// <param name="query">[batch, queryHeads, queries, headSize].</param>
    /// <param name="key">[batch, keyHeads, keyCapacity, headSize].</param>
    /// <param name="value">[batch, keyHeads, keyCapacity, valueSize].</param>
    /// <param name="output">[batch, queryHeads, queries, valueSize]; overwritten.</param>
    /// <param name="keyLengths">[batch], how many keys of each sequence count; or empty for all.</param>
    /// <param name="bias">Added to the scores, laid out by the three strides with keys innermost; or empty.</param>
    /// <param name="logSumExp">[batch, queryHeads, queries], receives what <see cref="Backward"/> needs; or empty.</param>
    /// <param name="pattern">What <see cref="AttentionPattern.FromBias"/> or <see cref="AttentionPattern.FromBiasAsNeeded"/> made of this bias, or blocks; null reads the bias.</param>
    /// <exception cref="ArgumentException">The geometry is invalid or a span or the pattern does not fit it.</exception>
    public unsafe void Forward(ReadOnlySpan<float> query, ReadOnlySpan<float> key, ReadOnlySpan<float> value, Span<float> output,
        ReadOnlySpan<int> keyLengths = default, ReadOnlySpan<float> bias = default, Span<float> logSumExp = default, AttentionPattern? pattern = null)
    {
        pattern?.Check(this, !bias.IsEmpty);
        Check(query.Length, key.Length, value.Length, output.Length, keyLengths, bias.Length);
        if (!logSumExp.IsEmpty) Parts.Need(logSumExp.Length, (long)Batch * QueryHeads * Queries, nameof(logSumExp));
        fixed (float* pq = query, pk = key, pv = value, po = output, pb = bias, pl = logSumExp)
        {
            fixed (int* pn = keyLengths)
            {
                SimdDispatch.Run(new Work
                {
                    Shape = this,
                    Pattern = pattern ?? AttentionPattern.FromBiasAsNeeded(this, bias),
                    Query = pq,
                    Key = pk,
                    Value = pv,
                    Output = po,
                    Bias = pb,
                    LogSumExp = pl,
                    KeyLengths = pn,
                });
            }
        }
    }

    /// <summary>Gradients of query, key and value; scores are computed again.</summary>
    /// <param name="query">As in the forward pass.</param>
    /// <param name="key">As in the forward pass.</param>
    /// <param name="value">As in the forward pass.</param>
    /// <param name="output">From the forward pass.</param>
    /// <param name="logSumExp">From the forward pass.</param>
    /// <param name="outputGradient">[batch, queryHeads, queries, valueSize].</param>
    /// <param name="queryGradient">Shaped like query; overwritten.</param>
    /// <param name="keyGradient">Shaped like key; overwritten, zero beyond <see cref="Keys"/>.</param>
    /// <param name="valueGradient">Shaped like value; overwritten, zero beyond <see cref="Keys"/>.</param>
    /// <param name="keyLengths">As in the forward pass.</param>
    /// <param name="bias">As in the forward pass.</param>
    /// <param name="biasGradient">
    /// [sequences of the bias, heads of the bias, queries, keys], where a stride of 0 means one sequence or head: receives the gradient of the scores, summed over those
    /// that share a bias; or empty. It costs two more products.
    /// </param>
    /// <param name="pattern">As in the forward pass.</param>
    /// <exception cref="ArgumentException">The geometry is invalid or a span or the pattern does not fit it.</exception>
    public unsafe void Backward(ReadOnlySpan<float> query, ReadOnlySpan<float> key, ReadOnlySpan<float> value, ReadOnlySpan<float> output, ReadOnlySpan<float> logSumExp,
        ReadOnlySpan<float> outputGradient, Span<float> queryGradient, Span<float> keyGradient, Span<float> valueGradient,
        ReadOnlySpan<int> keyLengths = default, ReadOnlySpan<float> bias = default, Span<float> biasGradient = default, AttentionPattern? pattern = null)
    {
        pattern?.Check(this, !bias.IsEmpty);
        Check(query.Length, key.Length, value.Length, output.Length, keyLengths, bias.Length);
        Check(queryGradient.Length, keyGradient.Length, valueGradient.Length, outputGradient.Length, keyLengths, bias.Length);
        Parts.Need(logSumExp.Length, (long)Batch * QueryHeads * Queries, nameof(logSumExp));
        if (!biasGradient.IsEmpty) Parts.Need(biasGradient.Length, (long)BiasBatches * BiasHeads * Queries * Keys, nameof(biasGradient));
        fixed (float* pq = query, pk = key, pv = value, po = output, pb = bias, pl = logSumExp, pg = outputGradient, dq = queryGradient, dk = keyGradient, dv = valueGradient, db = biasGradient)
        {
            fixed (int* pn = keyLengths)
            {
                SimdDispatch.Run(new Work
                {
                    Shape = this,
                    Pattern = pattern ?? AttentionPattern.FromBiasAsNeeded(this, bias),
                    Query = pq,
                    Key = pk,
                    Value = pv,
                    Output = po,
                    Bias = pb,
                    LogSumExp = pl,
                    KeyLengths = pn,
                    OutputGradient = pg,
                    QueryGradient = dq,
                    KeyGradient = dk,
                    ValueGradient = dv,
                    BiasGradient = db,
                });
            }
        }
    }

    /// <summary>Turns a mask (true: takes part) into a bias of 0 and negative infinity.</summary>
    /// <param name="mask">Whether each key takes part.</param>
    /// <param name="bias">Receives the bias, as long as the mask.</param>
    /// <exception cref="ArgumentException">bias is shorter than mask.</exception>
    public static void BiasFromMask(ReadOnlySpan<bool> mask, Span<float> bias)
    {
        Parts.Need(bias.Length, mask.Length, nameof(bias));
        for (int i = 0; i < mask.Length; i++) bias[i] = mask[i] ? 0f : float.NegativeInfinity;
    }

    /// <summary>Sequences that have a bias of their own.</summary>
    internal int BiasBatches => BiasBatchStride == 0 ? Math.Min(Batch, 1) : Batch;

    /// <summary>Query heads that have a bias of their own.</summary>
    internal int BiasHeads => BiasHeadStride == 0 ? 1 : QueryHeads;

    private void Check(int query, int key, int value, int output, ReadOnlySpan<int> keyLengths, int bias)
    {
        if (Batch < 0 || Queries < 0 || Keys < 0 || QueryHeads < 1 || KeyHeads < 1 || HeadSize < 1 || ValueSize < 1) throw new ArgumentException($"{this}: a size is out of range.");
        if (QueryHeads % KeyHeads != 0) throw new ArgumentException($"{KeyHeads} key heads do not divide {QueryHeads} query heads.");
        if (KeyCapacity < Keys) throw new ArgumentException($"{Keys} keys in a capacity of {KeyCapacity}.");
        Parts.Need(query, (long)Batch * QueryHeads * Queries * HeadSize, "query");
        Parts.Need(key, (long)Batch * KeyHeads * KeyCapacity * HeadSize, "key");
        Parts.Need(value, (long)Batch * KeyHeads * KeyCapacity * ValueSize, "value");
        Parts.Need(output, (long)Batch * QueryHeads * Queries * ValueSize, "output");
        if (!keyLengths.IsEmpty)
        {
            Parts.Need(keyLengths.Length, Batch, nameof(keyLengths));
            foreach (int length in keyLengths[..Batch]) if (length < 0 || length > Keys) throw new ArgumentException($"A key length of {length} among {Keys} keys.", nameof(keyLengths));
        }
        CheckBias(bias);
    }

    /// <summary>Throws unless a bias of this length fits the strides.</summary>
    internal void CheckBias(int bias)
    {
        if (bias == 0 || Batch <= 0 || Queries <= 0 || Keys <= 0) return;
        if (BiasBatchStride < 0 || BiasHeadStride < 0 || BiasQueryStride < 0) throw new ArgumentException("Bias strides cannot be negative.");
        Parts.Need(bias, ((long)(Batch - 1) * BiasBatchStride) + ((long)(QueryHeads - 1) * BiasHeadStride) + ((long)(Queries - 1) * BiasQueryStride) + Keys, "bias");
    }
}
