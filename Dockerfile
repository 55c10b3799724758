FROM python:3.11-slim
RUN useradd --create-home --uid 1000 visita
WORKDIR /visita
COPY . .
RUN pip install --no-cache-dir -c constraints.txt '.[serve]'
USER visita
ENV VISITA_HOME=/home/visita/home VISITA_SERVE_HOST=0.0.0.0
EXPOSE 8420
HEALTHCHECK CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8420/api/v1/health')"]
CMD ["visita", "serve", "/pictures", "--no-open"]
