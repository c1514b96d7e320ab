using System.Runtime.CompilerServices;
using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Formats.Compact;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Passes;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime;

/// <summary>Continues sequences of tokens with a causal language model.</summary>
/// <remarks>
/// The model has one integer input [batch, sequence] (and perhaps one of positions) and logits [batch, sequence, vocabulary] as its
/// first output. Keys and values of the tokens that were seen are kept, so that each new token costs one step. Whether the
/// graph allows that is checked by running a few tokens both ways; if not, every token runs the whole sequence, and
/// <see cref="CacheNote"/> says why. Texts may be generated at the same time on several threads.
/// </remarks>
public sealed class TextGenerator
{
    // How far logits of the whole sequence and of single steps may be apart, beside the largest: by the order of sums, and by inputs that are rounded.
    private const double Exact = 1e-3, Coarse = 3e-2;

    private readonly InferenceSession _whole;
    private readonly InferenceSession? _stepwise;
    private readonly string _tokens;
    private readonly string? _positions;
    private readonly bool _countsPast;
    private readonly ElementType _idType;
    private readonly string _held = "";

    /// <summary>Prepares a model.</summary>
    /// <param name="graph">The language model.</param>
    /// <param name="options">How to plan; defaults when null.</param>
    /// <exception cref="GraphException">SL2009: the graph is no language model in the sense above.</exception>
    public TextGenerator(ModelGraph graph, SessionOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(graph);
        options ??= SessionOptions.Default;
        ModelGraph given = graph;
        if (options.Values is { } kind)
        {
            // Once for both sessions.
            graph = graph.Clone();
            _held = HeldValues.Apply(graph, kind);
            options = options with { Values = null };
        }
        List<GraphValue> ids = [.. graph.Inputs.Where(IsIds)];
        GraphValue? positions = ids.Count == 2 ? ids.Find(i => i.Name.Contains("position", StringComparison.OrdinalIgnoreCase)) : null;
        if (positions is not null) ids.Remove(positions);
        if (ids.Count != 1 || graph.Inputs.Count != ids.Count + (positions is null ? 0 : 1) || graph.Outputs.Count == 0)
        {
            throw new GraphException("SL2009", $"'{graph.Name}' is no language model that text can be generated with")
            {
                Because = $"expected one integer input [batch, sequence] and perhaps one of positions; the inputs are {string.Join(", ", graph.Inputs.Select(i => $"{i.Name} {i.Type}"))}",
            };
        }
        _tokens = ids[0].Name;
        _idType = ids[0].Type.ElementType;
        _positions = positions?.Name;
        _whole = new InferenceSession(graph, options);

        var pass = new KeyValueCachePass();
        ModelGraph probe = graph.Clone();
        pass.Apply(probe);
        ContextLength = pass.ContextLength;
        CacheNote = pass.Refusal ?? "";
        if (pass.Refusal is not null) return;
        _countsPast = probe.Inputs.Any(i => i.Name == KeyValueCachePass.PastLength);
        _stepwise = new InferenceSession(graph, options, new KeyValueCachePass());
        // Before integers inputs are rounded to steps of 1/127: the last bit of a sum may decide to which. Whether the graph goes step by step is
        // seen exactly with the numbers as they were before; of a file that holds integers only gross errors are seen.
        bool rounds = HasIntegers(graph);
        string? note = null;
        if (rounds && !HasIntegers(given))
        {
            SessionOptions exact = options with { ForceDense = true, AutoTune = false };
            note = Disagreement(new InferenceSession(given, exact), new InferenceSession(given, exact, new KeyValueCachePass()), Exact);
        }
        CacheNote = note ?? Disagreement(_whole, _stepwise, rounds ? Coarse : Exact) ?? "";
        if (CacheNote.Length > 0) _stepwise = null;
    }

    /// <summary>Whether keys and values are kept between tokens.</summary>
    public bool UsesCache => _stepwise is not null;

    /// <summary>Why nothing is kept; empty when it is.</summary>
    public string CacheNote { get; }

    /// <summary>The longest sequence that the model has positions for; null when it states none.</summary>
    public int? ContextLength { get; }

    /// <summary>The logits of a whole sequence, for perplexities.</summary>
    /// <param name="tokens">At least one token.</param>
    /// <param name="cancellation">Stops between steps.</param>
    /// <returns>[sequence, vocabulary]: row t predicts token t + 1.</returns>
    /// <exception cref="SparselandException">SL4061: no token, or more than <see cref="ContextLength"/>.</exception>
    public TensorData Logits(IReadOnlyList<int> tokens, CancellationToken cancellation = default)
    {
        Check(tokens, 0);
        return Rows(_whole, tokens, 0, null, cancellation);
    }

    /// <summary>Generates tokens after a prompt, one by one as they are asked for.</summary>
    /// <param name="prompt">At least one token.</param>
    /// <param name="options">Sampling and limits; greedy when null.</param>
    /// <param name="cancellation">Stops between steps.</param>
    /// <returns>The new tokens; ends at a stop token, at the limit, or when the context is full.</returns>
    /// <exception cref="SparselandException">SL4060, SL4061: an option is out of range, or the prompt is empty or longer than the context.</exception>
    public IEnumerable<int> Generate(IReadOnlyList<int> prompt, GenerationOptions? options = null, CancellationToken cancellation = default)
    {
        Check(prompt, 0);
        options ??= GenerationOptions.Default;
        return Generate([.. prompt], options, new TokenSampler(options), cancellation);
    }

    /// <summary>As <see cref="Generate(IReadOnlyList{int}, GenerationOptions?, CancellationToken)"/>, computing away from the caller's thread.</summary>
    /// <param name="prompt">At least one token.</param>
    /// <param name="options">Sampling and limits; greedy when null.</param>
    /// <param name="cancellation">Stops between steps.</param>
    public async IAsyncEnumerable<int> GenerateAsync(IReadOnlyList<int> prompt, GenerationOptions? options = null, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        using IEnumerator<int> tokens = Generate(prompt, options, cancellation).GetEnumerator();
        while (await Task.Run(tokens.MoveNext, cancellation).ConfigureAwait(false)) yield return tokens.Current;
    }

    /// <summary>The plan of one decoding step (or of one token without a cache), printed.</summary>
    public string DescribePlan() => (_stepwise ?? _whole).DescribePlan(Feed(_stepwise is not null, [0], 0)) + _held;

    private IEnumerable<int> Generate(List<int> sequence, GenerationOptions options, TokenSampler sampler, CancellationToken cancellation)
    {
        KeyValueCache? cache = _stepwise is null ? null : new KeyValueCache();
        for (int made = 0; made < options.MaxTokens && sequence.Count <= (ContextLength ?? int.MaxValue); made++)
        {
            TensorData logits;
            if (cache is null)
            {
                logits = Rows(_whole, sequence, 0, null, cancellation);
            }
            else
            {
                logits = Rows(_stepwise!, sequence.GetRange(cache.Length, sequence.Count - cache.Length), cache.Length, cache, cancellation);
                cache.Advance(sequence.Count - cache.Length);
            }
            int vocabulary = logits.Shape[1], next = sampler.Next(logits.Span<float>()[^vocabulary..]);
            if (options.StopTokens.Contains(next)) yield break;
            sequence.Add(next);
            yield return next;
        }
    }

    /// <summary>Logits [tokens, vocabulary] of tokens that follow <paramref name="past"/> others.</summary>
    private TensorData Rows(InferenceSession session, IReadOnlyList<int> tokens, int past, KeyValueCache? cache, CancellationToken cancellation)
    {
        TensorData logits = session.Run(Feed(cache is not null, tokens, past), cache, cancellation).Values.First();
        if (logits.ElementType != ElementType.Float32 || logits.Rank != 3 || logits.Shape[0] != 1 || logits.Shape[1] != tokens.Count)
            throw new GraphException("SL2009", $"the first output is {logits}; expected logits [1, {tokens.Count}, vocabulary]");
        return logits.Reshape(logits.Shape[1], logits.Shape[2]);
    }

    private Dictionary<string, TensorData> Feed(bool stepwise, IReadOnlyList<int> tokens, int past)
    {
        var feed = new Dictionary<string, TensorData>(StringComparer.Ordinal) { [_tokens] = Ids([.. tokens]) };
        if (_positions is not null) feed[_positions] = Ids([.. Enumerable.Range(past, tokens.Count)]);
        if (stepwise && _countsPast) feed[KeyValueCachePass.PastLength] = TensorData.Scalar((long)past);
        return feed;

        TensorData Ids(int[] values) => _idType == ElementType.Int32
            ? TensorData.Wrap(values, 1, values.Length)
            : TensorData.Wrap(Array.ConvertAll(values, v => (long)v), 1, values.Length);
    }

    /// <summary>Runs a few tokens whole and step by step; says how they differ, null when they agree.</summary>
    private string? Disagreement(InferenceSession wholeSession, InferenceSession stepwiseSession, double tolerance)
    {
        int[] tokens = [1, 0, 2, 1, 2, 0];
        if (ContextLength is { } length && length < tokens.Length) return $"the context of {length} tokens is too short to check";
        try
        {
            float[] whole = Rows(wholeSession, tokens, 0, null, default).Array<float>();
            var cache = new KeyValueCache();
            var stepwise = new List<float>();
            foreach (int[] piece in new[] { tokens[..3], tokens[3..4], tokens[4..5], tokens[5..] })
            {
                stepwise.AddRange(Rows(stepwiseSession, piece, cache.Length, cache, default).Span<float>());
                cache.Advance(piece.Length);
            }
            double largest = whole.Max(Math.Abs), difference = whole.Zip(stepwise, (a, b) => Math.Abs((double)a - b)).Max();
            return difference <= tolerance * (1 + largest) ? null : $"the graph gives other logits step by step (by {difference:0.0000})";
        }
        catch (GraphException e)
        {
            return $"the graph does not run step by step: {e.Message}";
        }
    }

    private void Check(IReadOnlyList<int> tokens, int more)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        if (tokens.Count == 0) throw new SparselandException("SL4061", "the prompt has no token; begin with the tokenizer's start token");
        if (tokens.Count + more > (ContextLength ?? int.MaxValue))
            throw new SparselandException("SL4061", $"{tokens.Count} tokens are more than the model's context of {ContextLength}") { Try = "shorten the text, or cut it into windows" };
    }

    private static bool HasIntegers(ModelGraph graph) =>
        graph.Weights.Values.Any(w => w.Storage is CompactStorage { Matrix: { } matrix } && matrix.Kind.IsQuantized());

    private static bool IsIds(GraphValue value) =>
        value.Type.ElementType is ElementType.Int64 or ElementType.Int32 && value.Type.Shape is null or { Rank: 2 };
}
