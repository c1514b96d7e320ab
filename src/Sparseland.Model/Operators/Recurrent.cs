using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>What RNN, GRU and LSTM share: directions, sequence lengths, layouts and the loop over time.</summary>
/// <remarks>
/// X [length, batch, input], W [directions, gates * hidden, input], R [directions, gates * hidden, hidden],
/// B [directions, 2 * gates * hidden]; layout 1 puts the batch first. Y [length, directions, batch, hidden].
/// </remarks>
internal abstract class Recurrent(string opType, int gates, int maxInputs, int maxOutputs) : Operator(opType, minInputs: 3, maxInputs: maxInputs, maxOutputs: maxOutputs)
{
    public override void Infer(InferenceContext context)
    {
        bool batchFirst = context.Node.Attributes.Int("layout", 0) == 1;
        int directions = context.Node.Attributes.String("direction", "forward") == "bidirectional" ? 2 : 1;
        Dimension hidden = context.Node.Attributes.Has("hidden_size") ? (int)context.Node.Attributes.Int("hidden_size", 0)
            : context.Shape(2) is { Rank: 3 } r ? r[2] : Dimension.Unknown;
        Dimension length = Dimension.Unknown, batch = Dimension.Unknown;
        if (context.Shape(0) is { } x)
        {
            if (x.Rank != 3) throw context.Error("X must have 3 axes");
            (length, batch) = batchFirst ? (x[1], x[0]) : (x[0], x[1]);
        }
        TensorShape state = batchFirst ? new TensorShape(batch, directions, hidden) : new TensorShape(directions, batch, hidden);
        context.SetOutput(0, context.Element(0), batchFirst ? new TensorShape(batch, length, directions, hidden) : new TensorShape(length, directions, batch, hidden));
        for (int i = 1; i < MaxOutputs; i++) context.SetOutput(i, context.Element(0), state);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        NodeAttributes a = context.Node.Attributes;
        bool batchFirst = a.Int("layout", 0) == 1;
        TensorData x = batchFirst ? Moving.Transpose(context.Input(0), [1, 0, 2]) : context.Input(0);
        ElementType type = x.ElementType;
        int length = x.Shape[0], batch = x.Shape[1], input = x.Shape[2], hidden = context.Input(2).Shape[2], directions = context.Input(1).Shape[0];
        string direction = a.String("direction", "forward");
        double[] xs = x.ToDoubles(), w = context.Input(1).ToDoubles(), r = context.Input(2).ToDoubles();
        double[] b = context.Has(3) ? context.Input(3).ToDoubles() : new double[directions * 2 * gates * hidden];
        long[]? lengths = context.Has(4) ? context.Input(4).ToInt64s() : null;
        double[] h0 = State(context, 5, batchFirst, directions * batch * hidden), c0 = State(context, 6, batchFirst, directions * batch * hidden);
        double[] peepholes = context.Has(7) ? context.Input(7).ToDoubles() : new double[directions * 3 * hidden];
        double[] y = new double[length * directions * batch * hidden], lastH = new double[directions * batch * hidden], lastC = new double[lastH.Length];
        int rows = gates * hidden;
        for (int d = 0; d < directions; d++)
        {
            bool backwards = direction == "reverse" || d == 1;
            var cell = new Cell(a, d, hidden, w.AsMemory(d * rows * input, rows * input), r.AsMemory(d * rows * hidden, rows * hidden),
                b.AsMemory(d * 2 * rows, 2 * rows), peepholes.AsMemory(d * 3 * hidden, 3 * hidden), DefaultActivations);
            for (int n = 0; n < batch; n++)
            {
                Span<double> h = lastH.AsSpan(((d * batch) + n) * hidden, hidden), c = lastC.AsSpan(((d * batch) + n) * hidden, hidden);
                h0.AsSpan(((d * batch) + n) * hidden, hidden).CopyTo(h);
                c0.AsSpan(((d * batch) + n) * hidden, hidden).CopyTo(c);
                int steps = (int)(lengths?[n] ?? length);
                for (int s = 0; s < steps; s++)
                {
                    int t = backwards ? steps - 1 - s : s;
                    Step(cell, xs.AsSpan(((t * batch) + n) * input, input), h, c);
                    h.CopyTo(y.AsSpan(((((t * directions) + d) * batch) + n) * hidden, hidden));
                }
            }
        }
        TensorData output = TensorData.Wrap(y, length, directions, batch, hidden), final = TensorData.Wrap(lastH, directions, batch, hidden), cells = TensorData.Wrap(lastC, directions, batch, hidden);
        if (batchFirst) (output, final, cells) = (Moving.Transpose(output, [2, 0, 1, 3]), Moving.Transpose(final, [1, 0, 2]), Moving.Transpose(cells, [1, 0, 2]));
        return [output.To(type), final.To(type), cells.To(type)];
    }

    /// <summary>Names of the activations when the node does not list them.</summary>
    protected abstract string[] DefaultActivations { get; }

    /// <summary>One time step: replaces hidden state (and cell state).</summary>
    protected abstract void Step(Cell cell, ReadOnlySpan<double> x, Span<double> h, Span<double> c);

    private static double[] State(EvaluationContext context, int index, bool batchFirst, int length)
    {
        if (!context.Has(index)) return new double[length];
        TensorData state = context.Input(index);
        return (batchFirst ? Moving.Transpose(state, [1, 0, 2]) : state).ToDoubles();
    }

    /// <summary>Weights and activations of one direction.</summary>
    protected sealed class Cell
    {
        private readonly ReadOnlyMemory<double> _w;
        private readonly ReadOnlyMemory<double> _r;
        private readonly ReadOnlyMemory<double> _b;
        private readonly double _clip;

        public Cell(NodeAttributes attributes, int direction, int hidden, ReadOnlyMemory<double> w, ReadOnlyMemory<double> r, ReadOnlyMemory<double> b, ReadOnlyMemory<double> peepholes, string[] defaults)
        {
            (Hidden, _w, _r, _b, Peepholes) = (hidden, w, r, b, peepholes);
            _clip = attributes.Float("clip", 0);
            LinearBeforeReset = attributes.Int("linear_before_reset", 0) != 0;
            InputForget = attributes.Int("input_forget", 0) != 0;
            string[] names = attributes.Strings("activations") ?? [.. defaults, .. defaults];
            float[] alphas = attributes.Floats("activation_alpha") ?? [], betas = attributes.Floats("activation_beta") ?? [];
            Activations = new Func<double, double>[defaults.Length];
            for (int i = 0; i < defaults.Length; i++)
            {
                int at = (direction * defaults.Length) + i;
                Activations[i] = Function(names[at], at < alphas.Length ? alphas[at] : null, at < betas.Length ? betas[at] : null);
            }
        }

        public int Hidden { get; }

        public bool LinearBeforeReset { get; }

        public bool InputForget { get; }

        public Func<double, double>[] Activations { get; }

        public ReadOnlyMemory<double> Peepholes { get; }

        public int Rows => _b.Length / 2;

        public double Clip(double v) => _clip > 0 ? Math.Clamp(v, -_clip, _clip) : v;

        /// <summary>W x + bias of the input side, for one row.</summary>
        public double FromInput(int row, ReadOnlySpan<double> x) => Dot(_w.Span.Slice(row * x.Length, x.Length), x) + _b.Span[row];

        /// <summary>R h + bias of the recurrent side, for one row.</summary>
        public double FromState(int row, ReadOnlySpan<double> h) => Dot(_r.Span.Slice(row * h.Length, h.Length), h) + _b.Span[Rows + row];

        /// <summary>R h without bias.</summary>
        public double FromStateOnly(int row, ReadOnlySpan<double> h) => Dot(_r.Span.Slice(row * h.Length, h.Length), h);

        public double StateBias(int row) => _b.Span[Rows + row];

        private static double Dot(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
        {
            double sum = 0;
            for (int i = 0; i < a.Length; i++) sum += a[i] * b[i];
            return sum;
        }

        private static Func<double, double> Function(string name, double? alpha, double? beta) => name.ToUpperInvariant() switch
        {
            "SIGMOID" => SpecialFunctions.Sigmoid,
            "TANH" => Math.Tanh,
            "RELU" => v => Math.Max(0, v),
            "AFFINE" => v => ((alpha ?? 1) * v) + (beta ?? 0),
            "LEAKYRELU" => v => v < 0 ? (alpha ?? 0.01) * v : v,
            "THRESHOLDEDRELU" => v => v > (alpha ?? 1) ? v : 0,
            "SCALEDTANH" => v => (alpha ?? 1) * Math.Tanh((beta ?? 1) * v),
            "HARDSIGMOID" => v => Math.Clamp(((alpha ?? 0.2) * v) + (beta ?? 0.5), 0, 1),
            "ELU" => v => v < 0 ? (alpha ?? 1) * (Math.Exp(v) - 1) : v,
            "SOFTSIGN" => v => v / (1 + Math.Abs(v)),
            "SOFTPLUS" => SpecialFunctions.Softplus,
            _ => throw new ArgumentException($"activation '{name}' is not known"),
        };
    }
}

/// <summary>RNN: h = f(W x + R h + b). Elman, "Finding Structure in Time".</summary>
internal sealed class SimpleRecurrent() : Recurrent("RNN", gates: 1, maxInputs: 6, maxOutputs: 2)
{
    protected override string[] DefaultActivations => ["Tanh"];

    protected override void Step(Cell cell, ReadOnlySpan<double> x, Span<double> h, Span<double> c)
    {
        var next = new double[h.Length];
        for (int i = 0; i < next.Length; i++) next[i] = cell.Activations[0](cell.Clip(cell.FromInput(i, x) + cell.FromState(i, h)));
        next.CopyTo(h);
    }
}

/// <summary>GRU with gates z, r, h. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", section 2.3.</summary>
internal sealed class GatedRecurrent() : Recurrent("GRU", gates: 3, maxInputs: 6, maxOutputs: 2)
{
    protected override string[] DefaultActivations => ["Sigmoid", "Tanh"];

    protected override void Step(Cell cell, ReadOnlySpan<double> x, Span<double> h, Span<double> c)
    {
        int n = h.Length;
        double[] update = new double[n], reset = new double[n], gated = new double[n], next = new double[n];
        for (int i = 0; i < n; i++)
        {
            update[i] = cell.Activations[0](cell.Clip(cell.FromInput(i, x) + cell.FromState(i, h)));
            reset[i] = cell.Activations[0](cell.Clip(cell.FromInput(n + i, x) + cell.FromState(n + i, h)));
        }
        for (int i = 0; i < n; i++) gated[i] = reset[i] * h[i];
        for (int i = 0; i < n; i++)
        {
            int row = (2 * n) + i;
            double state = cell.LinearBeforeReset ? reset[i] * cell.FromState(row, h) : cell.FromStateOnly(row, gated) + cell.StateBias(row);
            double candidate = cell.Activations[1](cell.Clip(cell.FromInput(row, x) + state));
            next[i] = ((1 - update[i]) * candidate) + (update[i] * h[i]);
        }
        next.CopyTo(h);
    }
}

/// <summary>LSTM with gates i, o, f, c and peepholes. Gers et al., "Learning Precise Timing with LSTM Recurrent Networks", section 3.</summary>
internal sealed class LongShortTermMemory() : Recurrent("LSTM", gates: 4, maxInputs: 8, maxOutputs: 3)
{
    protected override string[] DefaultActivations => ["Sigmoid", "Tanh", "Tanh"];

    protected override void Step(Cell cell, ReadOnlySpan<double> x, Span<double> h, Span<double> c)
    {
        int n = h.Length;
        ReadOnlySpan<double> peep = cell.Peepholes.Span;
        var next = new double[n];
        for (int k = 0; k < n; k++)
        {
            double Gate(ReadOnlySpan<double> input, ReadOnlySpan<double> state, int gate) => cell.FromInput((gate * n) + k, input) + cell.FromState((gate * n) + k, state);
            double i = cell.Activations[0](cell.Clip(Gate(x, h, 0) + (peep[k] * c[k])));
            double f = cell.InputForget ? 1 - i : cell.Activations[0](cell.Clip(Gate(x, h, 2) + (peep[(2 * n) + k] * c[k])));
            double state = (f * c[k]) + (i * cell.Activations[1](cell.Clip(Gate(x, h, 3))));
            double o = cell.Activations[0](cell.Clip(Gate(x, h, 1) + (peep[n + k] * state)));
            c[k] = state;
            next[k] = o * cell.Activations[2](state);
        }
        next.CopyTo(h);
    }
}
